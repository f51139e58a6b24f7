"""Jobs: one action each, with what it is given and what is kept of it."""

from typing import Final

from agent.flow.dialects.gradient.table.actions import ACTIONS, ANY_WITH
from agent.flow.shapes import (
    ANYTHING,
    FILLED,
    NUMBER,
    TEXT,
    TEXT_OR_TEXTS,
    TEXTS,
    Fields,
    Key,
    Shape,
    map_of,
    mapping,
    one_of,
    words,
)

TYPES: Final = ("dataset", "string", "volume")

REF: Final = Fields(
    "with",
    Key(
        "ref",
        FILLED,
        "The dataset: `NAME`, `NAME:NUMBER` or `NAME:TAG`; of `NAMESPACE/NAME` the name counts.",
    ),
    Key("id", FILLED, "The same, as older files write it."),
    Key("value", TEXT, "The text of a string."),
)
TYPED: Final = Fields(
    "typed",
    Key(
        "type",
        words(*TYPES),
        "What it is: a folder of a dataset's version, a text, or a folder of this run.",
        required=True,
    ),
    Key("with", mapping(REF), "Which one."),
)
RESOURCES: Final = Fields(
    "resources",
    Key(
        "instance-type",
        FILLED,
        "A machine type of Paperspace's; the variable `MACHINE_TYPES` says what it is here.",
    ),
    Key(
        "container-registries",
        TEXTS,
        "Registries of private images: here the agents' own docker is signed in to them.",
    ),
)
ENV: Final = map_of(TEXT, name="env")


def _make_job(with_: Shape, uses: Shape, outputs: Shape) -> Fields:
    return Fields(
        "job",
        Key("uses", uses, "The action.", required=True),
        Key("with", with_, "What the action is told."),
        Key("needs", TEXT_OR_TEXTS, "Jobs that must have succeeded before."),
        Key(
            "inputs",
            map_of(one_of(FILLED, mapping(TYPED)), name="inputs"),
            "What lies at `/inputs/NAME`: `workflow.inputs.NAME`, `JOB.outputs.NAME` of a job that `needs` names, or written out.",
        ),
        Key(
            "outputs",
            map_of(one_of(outputs, mapping(TYPED)), name="outputs"),
            "What is kept of `/outputs/NAME`: a dataset's new version when the job has succeeded, a small text, a folder.",
        ),
        Key("env", ENV, "Environment variables; a value `secret:NAME` is that secret."),
        Key("resources", mapping(RESOURCES), "Where the job runs; instead of the flow's, key by key."),
        Key(
            "timeout",
            one_of(NUMBER, FILLED),
            "When the job is cancelled: minutes, or a number with a unit, such as `90s`, `30m`, `2h`; never unless said.",
        ),
        Key("name", TEXT, "What to show for the job; ours, Gradient refuses it."),
    )


# What is read: an unknown action and an output that names another job's are problems of their own, and `with` is read by the
# action's own fields.
JOB: Final = _make_job(ANYTHING, FILLED, FILLED)
# What editors and people are shown.
SHOWN_JOB: Final = _make_job(ANY_WITH, words(*ACTIONS), Shape())
