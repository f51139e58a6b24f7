"""The flow file as a whole."""

from agent.flow.dialects.github.table.contexts import FLOW, FLOW_SECRETS
from agent.flow.dialects.github.table.events import ON
from agent.flow.dialects.github.table.jobs import JOBS
from agent.flow.dialects.github.table.shared import CONCURRENCY, PERMISSIONS, RUN_DEFAULTS
from agent.flow.shapes import TEXT, Fields, Key, map_of, mapping, one_of

FLOW_FIELDS = Fields(
    "flow",
    Key("on", ON, "What starts the flow.", required=True),
    Key("name", TEXT, "What to show for the flow; its file's path unless said."),
    Key("description", TEXT, "What the flow is for."),
    Key("run-name", TEXT, "What to show for one run.", scope=FLOW),
    Key(
        "defaults",
        mapping(Fields("flow defaults", Key("run", mapping(RUN_DEFAULTS), "For all `run` steps."))),
        "Defaults of all jobs.",
    ),
    Key("env", map_of(TEXT, name="env"), "Environment variables of all jobs.", scope=FLOW_SECRETS),
    Key("permissions", PERMISSIONS, "What the jobs' tokens may do; a job's own win."),
    Key(
        "concurrency",
        one_of(TEXT, mapping(CONCURRENCY)),
        "At most one run of the group at a time.",
        scope=FLOW,
    ),
    Key("jobs", JOBS, "The jobs, by id.", required=True),
)
FLOW_SHAPE = mapping(FLOW_FIELDS)
