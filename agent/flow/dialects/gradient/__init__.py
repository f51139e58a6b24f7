"""Paperspace Gradient's workflow language: nodes in, a `Flow` and problems out. docs/dialects/gradient.md has its keys."""

from typing import Any, Final

from agent.flow.dialects.gradient.front import read_flow
from agent.flow.dialects.gradient.limits import LIMITS
from agent.flow.dialects.gradient.words import GRADIENT
from agent.flow.front_end import FrontEnd

__all__ = ["FRONT_END"]


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
    make_schema=_make_schema,
    make_page=_make_page,
)
