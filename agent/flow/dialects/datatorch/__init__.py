"""DataTorch's flows, which its later documents call pipelines: nodes in, a `Flow` and problems out."""

from typing import Any, Final

from agent.flow.dialects.datatorch.front import read_flow
from agent.flow.dialects.datatorch.limits import LIMITS
from agent.flow.dialects.datatorch.words import DATATORCH
from agent.flow.front_end import FrontEnd
from agent.flow.model import Flow, Job
from agent.flow.nodes import Node
from agent.flow.problems import Problem

__all__ = ["FRONT_END"]


def _check_call(_flow: Flow, _job: Job, _called: Flow) -> list[Problem]:
    """No job of this language calls a flow."""
    return []


def _check_action(_manifest: Node) -> list[Problem]:
    """What is odd in an action of this language, its manifest's front end says."""
    return []


def _make_schema() -> dict[str, Any]:
    from agent.flow.dialects.datatorch.table.flow import FLOW_SHAPE
    from agent.flow.editor import make_schema

    return make_schema(FLOW_SHAPE, "A flow (pipeline) in DataTorch's language.")


def _make_page() -> str:
    from agent.flow.dialects.datatorch.page import make_page

    return make_page()


FRONT_END: Final = FrontEnd(
    DATATORCH,
    limits=LIMITS,
    read=read_flow,
    check_call=_check_call,
    check_action=_check_action,
    make_schema=_make_schema,
    make_page=_make_page,
)
