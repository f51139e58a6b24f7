"""The flow file as a whole."""

from typing import Final

from agent.flow.dialects.datatorch.table.jobs import JOBS
from agent.flow.dialects.datatorch.table.triggers import TRIGGERS
from agent.flow.shapes import FILLED, NULL, SCALAR, TEXT, Fields, Key, mapping, one_of

FLOW_FIELDS: Final = Fields(
    "flow",
    Key("name", FILLED, "The flow's name, unique in its project.", required=True),
    Key("description", TEXT, "What the flow is for. Ours."),
    Key("project", one_of(NULL, SCALAR), "Accepted, without effect: a flow is stored in the project that is chosen then."),
    Key("$schema", TEXT, "For editors; a schema of DataTorch's also says that the file is in this language."),
    Key("triggers", TRIGGERS, "What starts the flow; `manual` unless said."),
    Key("jobs", JOBS, "The jobs, by id; they run side by side.", required=True),
)  # fmt: skip
FLOW_SHAPE: Final = mapping(FLOW_FIELDS)
