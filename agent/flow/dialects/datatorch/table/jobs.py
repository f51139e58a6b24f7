"""Jobs and their steps."""

from typing import Final

from agent.flow.dialects.datatorch.table.contexts import RUN, STEP, STEP_IF
from agent.flow.resources import RESOURCES
from agent.flow.shapes import (
    ANYTHING,
    BOOLEAN,
    FILLED,
    NULL,
    NUMBER,
    TEXT,
    TEXT_OR_TEXTS,
    Fields,
    Key,
    list_of,
    map_of,
    mapping,
    one_of,
)

ACTION: Final = Fields(
    "action",
    Key("name", FILLED, "`owner/repo`: where the action is, unless `git` says it; and what to call it."),
    Key("tag", FILLED, "A tag, a branch or a commit; the default branch unless said, as with `latest`."),
    Key("git", FILLED, "The repository's full address."),
    Key("file", FILLED, "The manifest's path in the repository; `action-datatorch.yaml` unless said."),
)
STEP_FIELDS: Final = Fields(
    "step",
    Key("name", TEXT, "What to show for the step, and its name in `steps.<name>.output`.", scope=STEP),
    Key("id", FILLED, "Another name of the step in `steps`."),
    Key(
        "if",
        one_of(TEXT, BOOLEAN),
        "Run the step only if this is true: paths, literals, `==`, `!=`, `<`, `>`, `&&`, `||`, `!`, and "
        "`success()`, `failure()`, `always()`, `cancelled()`.",
        scope=STEP_IF,
    ),
    Key(
        "action",
        one_of(FILLED, mapping(ACTION)),
        "What the step runs: `owner/repo@tag`, `./path` in this repository, `docker://image`, or in full.",
        required=True,
    ),
    Key(
        "inputs",
        one_of(NULL, map_of(ANYTHING, name="inputs", entry_name="input", scope=STEP)),
        "Inputs of the action, of any kind that JSON has.",
    ),
    Key("timeout", one_of(NULL, NUMBER), "Stop the step, as a failure, after so many minutes."),
    Key("cache", one_of(NULL, BOOLEAN), "Take the outputs of an equal run of the action; its own choice unless said."),
)  # fmt: skip
JOB_FIELDS: Final = Fields(
    "job",
    Key("name", TEXT, "What to show for the job.", scope=RUN),
    Key("steps", one_of(NULL, list_of(mapping(STEP_FIELDS))), "What the job does, one step after the other."),
    Key("runs-on", TEXT_OR_TEXTS, "Labels that the agent must all have; any agent unless said. Ours."),
    Key("resources", mapping(RESOURCES), "What the job needs of its machine, GPUs among it. Ours."),
    Key("needs", TEXT_OR_TEXTS, "Ids of jobs that must have succeeded before this one begins. Ours."),
    Key(
        "outputs",
        map_of(ANYTHING, name="outputs", entry_name="output", scope=STEP),
        "What later jobs read as `jobs.<id>.outputs.<name>`. Ours.",
    ),
)
JOBS: Final = map_of(mapping(JOB_FIELDS), name="jobs", entry_name="job id")
