"""Paperspace Gradient's workflow language: nodes in, a `Flow` and problems out. docs/dialects/gradient.md has its keys."""

from typing import Any, Final

from agent.flow.dialects.gradient.front import read_flow
from agent.flow.dialects.gradient.limits import LIMITS
from agent.flow.dialects.gradient.words import GRADIENT
from agent.flow.front_end import FrontEnd
from agent.flow.model import Flow, Job
from agent.flow.nodes import Node
from agent.flow.problems import Problem

__all__ = ["FRONT_END"]


def _check_call(_flow: Flow, _job: Job, _called: Flow) -> list[Problem]:
    """No flow of this language calls another."""
    return []


def _check_action(_manifest: Node) -> list[Problem]:
    """Its actions are ours: none has a manifest in this language."""
    return []


def _make_schema() -> dict[str, Any]:
    from agent.flow.dialects.gradient.table.flow import SHOWN_FLOW
    from agent.flow.editor import make_schema
    from agent.flow.shapes import mapping

    return make_schema(mapping(SHOWN_FLOW), "A workflow in Paperspace Gradient's language.")


def _make_page() -> str:
    from agent.flow.dialects.gradient.page import make_page

    return make_page()


FRONT_END: Final = FrontEnd(
    GRADIENT,
    limits=LIMITS,
    read=read_flow,
    check_call=_check_call,
    check_action=_check_action,
    make_schema=_make_schema,
    make_page=_make_page,
)
