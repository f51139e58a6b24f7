"""Jobs: those with steps, and those that call another flow."""

from agent.flow.dialects.github.table.contexts import (
    CREDENTIALS,
    JOB_IF,
    MATRIX,
    MATRIX_ENV,
    MATRIX_SECRETS,
    NEEDS,
    RUNNER,
    RUNNER_OPEN,
)
from agent.flow.dialects.github.table.data import BRINGS, KEEPS
from agent.flow.dialects.github.table.shared import CONCURRENCY, PERMISSIONS, RUN_DEFAULTS
from agent.flow.dialects.github.table.steps import STEPS
from agent.flow.resources import RESOURCES
from agent.flow.shapes import (
    ANYTHING,
    BOOLEAN,
    FILLED,
    NUMBER,
    SCALAR,
    TEXT,
    TEXT_OR_TEXTS,
    TEXTS,
    Fields,
    Key,
    list_of,
    map_of,
    mapping,
    one_of,
    words,
)

_CELLS = list_of(map_of(ANYTHING, name="cell", entry_name="key"))
MATRIX_FIELDS = Fields(
    "matrix",
    Key("include", _CELLS, "Cells to add, or values to add to the cells that match."),
    Key("exclude", _CELLS, "Cells to leave out: each that has all of these values."),
    entries=list_of(ANYTHING),
    entry_name="vector",
)
STRATEGY = Fields(
    "strategy",
    Key("fail-fast", BOOLEAN, "One failing cell cancels the others; true unless said."),
    Key("max-parallel", NUMBER, "How many cells may run at once."),
    Key(
        "matrix", mapping(MATRIX_FIELDS), "One job for each combination of the vectors' values; at most 256."
    ),
)

RUNS_ON = Fields(
    "runs-on",
    Key("group", FILLED, "The group of agents."),
    Key("labels", TEXT_OR_TEXTS, "Labels that an agent of the group must all have."),
)
ENVIRONMENT = Fields(
    "environment",
    Key("name", TEXT, "The environment's name.", scope=MATRIX, required=True),
    Key("url", TEXT, "Where what was deployed can be seen.", scope=RUNNER_OPEN),
    Key("deployment", BOOLEAN, "Record a deployment; true unless said."),
)
SNAPSHOT = Fields(
    "snapshot",
    Key("image-name", FILLED, "The name of the image.", required=True),
    Key("if", TEXT, "Take the snapshot only if this expression is true.", scope=MATRIX),
    Key("version", FILLED, "The major version and a star, such as `2.*`."),
)

_APP_PORT = Key(
    "port",
    NUMBER,
    "The port; the agent picks a free one unless said, which steps find as PORT_0, PORT_1, ...",
)
_APP_OPENS = Key(
    "opens",
    FILLED,
    "The path, and query, that people are sent to; `/` unless said; `{token}` in it is what steps find as APP_TOKEN_0, ...",
)
APP = Fields("app", _APP_PORT, _APP_OPENS)
LISTED_APP = Fields(
    "listed app", Key("name", FILLED, "The app's name.", required=True), _APP_PORT, _APP_OPENS
)

_CREDENTIALS = Fields(
    "credentials",
    Key("username", FILLED, "The registry's user."),
    Key("password", FILLED, "The registry's password or token."),
)
_CONTAINER_KEYS = (
    Key("image", FILLED, "The image."),
    Key("options", TEXT, "Further options of `docker create`."),
    Key("env", map_of(TEXT, name="env", scope=RUNNER), "Environment variables of the container."),
    Key("ports", TEXTS, "Ports to publish, as `docker create -p` writes them."),
    Key("volumes", TEXTS, "Volumes to mount, as `docker create -v` writes them."),
    Key("credentials", mapping(_CREDENTIALS), "How to log in to the image's registry.", scope=CREDENTIALS),
)
CONTAINER = Fields("container", *_CONTAINER_KEYS)
SERVICE = Fields(
    "service",
    *_CONTAINER_KEYS,
    Key("entrypoint", TEXT, "Instead of the image's own entry point."),
    Key("command", TEXT, "Instead of the image's own command."),
)

_NAME = Key("name", TEXT, "What to show for the job.", scope=MATRIX)
_NEEDS = Key("needs", TEXT_OR_TEXTS, "Jobs that must have succeeded before.")
_IF = Key(
    "if",
    TEXT,
    "Run the job only if this expression is true; without a status function it means `success() && (...)`.",
    scope=JOB_IF,
)
_STRATEGY = Key("strategy", mapping(STRATEGY), "How the job multiplies.", scope=NEEDS)
_PERMISSIONS = Key("permissions", PERMISSIONS, "What the job's token may do; instead of the flow's.")
_CONCURRENCY = Key(
    "concurrency",
    one_of(FILLED, mapping(CONCURRENCY)),
    "At most one job of the group runs at a time.",
    scope=MATRIX,
)

BACKOFF = Fields(
    "backoff",
    Key("seconds", NUMBER, "How long to wait before the first retry; 10 unless said."),
    Key("factor", NUMBER, "How much longer to wait each time; 2 unless said."),
    Key("most", NUMBER, "The longest wait, in seconds; 3600 unless said."),
)
RETRY = Fields(
    "retry",
    Key("max", NUMBER, "How often the job is tried again.", required=True),
    Key(
        "on",
        one_of(FILLED, list_of(one_of(FILLED, NUMBER)), NUMBER),
        "Why: `failure` (any, and what is meant unless said), `user`, `lost`, `timeout`, `oom`, `gpu`, `image`, "
        "`action`, `infrastructure`, or a step's exit code such as `75`.",
    ),
    Key("backoff", mapping(BACKOFF), "How long to wait before each retry."),
)

CHECKPOINTS = Fields(
    "checkpoints",
    Key("paths", TEXT_OR_TEXTS, "The files and folders that are a checkpoint together.", required=True),
    Key("every", one_of(NUMBER, FILLED), "How often they are looked at, such as `10m`; `1m` unless said."),
    Key(
        "grace",
        one_of(NUMBER, FILLED),
        "How long the job's processes have after SIGTERM when it is interrupted; `60s` unless said.",
    ),
    Key("tries", NUMBER, "How often the job goes on after its machine was lost; 5 unless said."),
    Key("keep", NUMBER, "How many checkpoints are kept, the newest; 2 unless said."),
)

STEPS_JOB = Fields(
    "job",
    _NEEDS,
    _IF,
    _STRATEGY,
    _NAME,
    Key(
        "runs-on",
        one_of(TEXT_OR_TEXTS, mapping(RUNS_ON)),
        "Labels that an agent must all have to take the job.",
        scope=MATRIX,
        required=True,
    ),
    Key("timeout-minutes", NUMBER, "Cancel the job after so many minutes; 360 unless said.", scope=MATRIX),
    Key(
        "cancel-timeout-minutes",
        NUMBER,
        "How long a cancelled job may take to end; 5 unless said.",
        scope=MATRIX,
    ),
    Key("continue-on-error", BOOLEAN, "A failure of the job does not fail the run.", scope=MATRIX),
    Key(
        "retry",
        one_of(NUMBER, mapping(RETRY)),
        "How often a job that failed is tried again, and why; an addition to GitHub's language.",
        scope=MATRIX,
    ),
    Key("container", one_of(TEXT, mapping(CONTAINER)), "The container in which the steps run.", scope=MATRIX),
    Key(
        "services",
        map_of(one_of(FILLED, mapping(SERVICE)), name="services", entry_name="service"),
        "Containers that run beside the steps.",
        scope=MATRIX,
    ),
    Key("env", map_of(TEXT, name="env"), "Environment variables of all steps.", scope=MATRIX_SECRETS),
    Key("environment", one_of(TEXT, mapping(ENVIRONMENT)), "The deployment environment.", scope=MATRIX),
    _PERMISSIONS,
    _CONCURRENCY,
    Key("outputs", map_of(TEXT, name="outputs", scope=RUNNER), "What jobs that need this one can read."),
    Key(
        "defaults",
        mapping(
            Fields(
                "job defaults", Key("run", mapping(RUN_DEFAULTS), "For all `run` steps.", scope=MATRIX_ENV)
            )
        ),
        "Defaults of the job's steps.",
    ),
    Key("steps", STEPS, "What the job does, in order."),
    Key("snapshot", one_of(FILLED, mapping(SNAPSHOT)), "Keep the machine's image after the job."),
    Key(
        "resources",
        mapping(RESOURCES),
        "What the job has for itself on its machine; ours, not GitHub's.",
        scope=MATRIX,
    ),
    Key(
        "priority",
        NUMBER,
        "Jobs of the same project with more go first: -100 to 100, 0 unless said; ours, not GitHub's.",
        scope=MATRIX,
    ),
    Key(
        "nodes",
        NUMBER,
        "How many machines run the job together, all or none; 1 unless said; ours, not GitHub's.",
        scope=MATRIX,
    ),
    Key(
        "interruptible",
        BOOLEAN,
        "A job that comes before it may take its place on an agent; it is queued again then; ours, not GitHub's.",
        scope=MATRIX,
    ),
    Key(
        "checkpoints",
        one_of(TEXT_OR_TEXTS, mapping(CHECKPOINTS)),
        "What is kept while the job works, for its next try to go on from; ours, not GitHub's.",
        scope=MATRIX,
    ),
    Key("brings", BRINGS, "Data that lies there before the first step; ours, not GitHub's.", scope=MATRIX),
    Key("keeps", KEEPS, "What is kept of what the job made; ours, not GitHub's.", scope=MATRIX),
    Key(
        "apps",
        one_of(
            map_of(one_of(NUMBER, mapping(APP)), name="apps", entry_name="app"), list_of(mapping(LISTED_APP))
        ),
        "Ports that the job opens for people, who reach them through the server; ours, not GitHub's.",
        scope=MATRIX,
    ),
)
CALL_JOB = Fields(
    "calling job",
    _NAME,
    Key(
        "uses",
        FILLED,
        "The flow to call: `./.github/workflows/file.yml` or `owner/repo/path/file.yml@ref`.",
        required=True,
    ),
    Key("with", map_of(SCALAR, name="with", scope=MATRIX), "Inputs of the called flow."),
    Key(
        "secrets",
        one_of(words("inherit"), map_of(SCALAR, name="secrets", scope=MATRIX_SECRETS)),
        "Secrets for the called flow; `inherit` hands on all.",
    ),
    _NEEDS,
    _IF,
    _PERMISSIONS,
    _CONCURRENCY,
    _STRATEGY,
)
JOB = mapping(STEPS_JOB, CALL_JOB)
JOBS = map_of(JOB, name="jobs", entry_name="job_id")
