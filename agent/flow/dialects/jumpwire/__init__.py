"""JumpWire's flows, stages through which records stream: nodes in, a `Flow` and problems out."""

from typing import Any, Final

from agent.flow.dialects.jumpwire.front import read_flow
from agent.flow.dialects.jumpwire.limits import LIMITS
from agent.flow.dialects.jumpwire.words import JUMPWIRE
from agent.flow.front_end import FrontEnd
from agent.flow.model import Flow, Job
from agent.flow.nodes import Node
from agent.flow.problems import Problem

__all__ = ["FRONT_END"]


def _check_call(_flow: Flow, _job: Job, _called: Flow) -> list[Problem]:
    """No job of this language calls a flow."""
    return []


def _check_action(_manifest: Node) -> list[Problem]:
    """This language has no manifests of its own."""
    return []


def _make_schema() -> dict[str, Any]:
    from agent.flow.dialects.jumpwire.schema import make_schema

    return make_schema()


def _make_page() -> str:
    from agent.flow.dialects.jumpwire.page import make_page

    return make_page()


FRONT_END: Final = FrontEnd(
    JUMPWIRE,
    limits=LIMITS,
    read=read_flow,
    check_call=_check_call,
    check_action=_check_action,
    make_schema=_make_schema,
    make_page=_make_page,
)
