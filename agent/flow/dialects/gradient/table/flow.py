"""The flow file as a whole."""

from typing import Final

from agent.flow.dialects.gradient.table.jobs import ENV, JOB, RESOURCES, SHOWN_JOB, TYPED
from agent.flow.shapes import FILLED, NULL, TEXT, TEXT_OR_TEXTS, Fields, Key, Shape, map_of, mapping, one_of

DEFAULTS: Final = Fields(
    "defaults",
    Key("env", ENV, "Environment variables of all jobs; a job's own win."),
    Key("resources", mapping(RESOURCES), "Where jobs run that say nothing else."),
    Key(
        "clusterId",
        FILLED,
        "A cluster of Paperspace's; the variable `CLUSTERS` says which group of agents it is here.",
    ),
)
BRANCHES: Final = Fields(
    "branches",
    Key(
        "only",
        TEXT_OR_TEXTS,
        "Branches, or patterns of them, a push to which starts the flow.",
        required=True,
    ),
)
GITHUB: Final = Fields(
    "github", Key("branches", mapping(BRANCHES), "Which branches; all of them unless said.")
)
ON: Final = Fields(
    "on", Key("github", one_of(NULL, mapping(GITHUB)), "A push to the repository that this file is in.")
)


def _make_flow(job: Fields) -> Fields:
    return Fields(
        "flow",
        Key(
            "on",
            one_of(NULL, mapping(ON)),
            "What starts the flow by itself; by hand it can always be started.",
        ),
        Key("defaults", mapping(DEFAULTS), "What holds for all jobs."),
        Key(
            "inputs",
            map_of(mapping(TYPED), name="workflow inputs"),
            "What a run is given: one without `with` is asked for at the start.",
        ),
        Key("jobs", map_of(mapping(job), name="jobs", entry_name="job"), "The jobs, by name.", required=True),
        Key("name", TEXT, "What to show for the flow; ours, Gradient refuses it."),
    )


FLOW_SHAPE: Final[Shape] = mapping(_make_flow(JOB))
SHOWN_FLOW: Final = _make_flow(SHOWN_JOB)
