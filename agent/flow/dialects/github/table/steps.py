"""Steps: `run`, `uses`, and the forms that came in 2026 (`wait`, `wait-all`, `cancel`, `parallel`)."""

from agent.flow.dialects.github.table.contexts import STEP, STEP_IF
from agent.flow.shapes import (
    BOOLEAN,
    FILLED,
    NULL,
    NUMBER,
    TEXT,
    TEXT_OR_TEXTS,
    Fields,
    Key,
    Shape,
    list_of,
    map_of,
    mapping,
    one_of,
)

_NAME = Key("name", TEXT, "What to show for the step.", scope=STEP)
_ID = Key("id", FILLED, "What other steps call it in `steps.<id>`; generated when it is left out.")
_IF = Key(
    "if",
    TEXT,
    "Run the step only if this expression is true; without a status function it means `success() && (...)`.",
    scope=STEP_IF,
)
_TIMEOUT = Key("timeout-minutes", NUMBER, "Stop the step, as a failure, after so many minutes.", scope=STEP)
_CONTINUE = Key("continue-on-error", BOOLEAN, "A failure of the step does not fail the job.", scope=STEP)
_ENV = Key("env", map_of(TEXT, name="env"), "Environment variables of the step.", scope=STEP)
_BACKGROUND = Key(
    "background", BOOLEAN, "Start the step and go on; `wait`, `wait-all` and `cancel` name it by its `id`."
)

RUN_STEP = Fields(
    "run step",
    _NAME,
    _ID,
    _IF,
    _TIMEOUT,
    Key("run", TEXT, "The script.", scope=STEP, required=True),
    _CONTINUE,
    _ENV,
    Key("working-directory", TEXT, "Where the script runs, below the workspace.", scope=STEP),
    Key(
        "shell", FILLED, "`bash`, `sh`, `python`, `pwsh`, or a command line with `{0}` for the script's file."
    ),
    _BACKGROUND,
)
USES_STEP = Fields(
    "uses step",
    _NAME,
    _ID,
    _IF,
    _CONTINUE,
    _TIMEOUT,
    Key(
        "uses",
        FILLED,
        "The action: `owner/repo[/path]@ref`, `./path` in the workspace, `$/path` in this flow's own "
        "repository, or `docker://image`.",
        required=True,
    ),
    Key("with", map_of(TEXT, name="with"), "Inputs of the action.", scope=STEP),
    _ENV,
    _BACKGROUND,
)
WAIT_STEP = Fields(
    "wait step",
    _NAME,
    _ID,
    _CONTINUE,
    Key("wait", TEXT_OR_TEXTS, "Ids of background steps above; go on when they are done.", required=True),
)
WAIT_ALL_STEP = Fields(
    "wait-all step",
    _NAME,
    _ID,
    _CONTINUE,
    Key(
        "wait-all",
        one_of(NULL, BOOLEAN),
        "Go on when every background step is done; empty or true.",
        required=True,
    ),
)
CANCEL_STEP = Fields(
    "cancel step",
    _NAME,
    _ID,
    _CONTINUE,
    Key("cancel", FILLED, "Id of the background step above to stop.", required=True),
)
PARALLEL_STEP = Fields(
    "parallel step",
    Key(
        "parallel",
        Shape(),
        "Steps (`run` and `uses`) that run side by side; go on when all are done.",
        required=True,
    ),
)

STEP_SHAPE = mapping(RUN_STEP, USES_STEP, WAIT_STEP, WAIT_ALL_STEP, CANCEL_STEP, PARALLEL_STEP)
STEPS = list_of(STEP_SHAPE)
PARALLEL_STEP.keys["parallel"].shape = STEPS  # steps hold steps
