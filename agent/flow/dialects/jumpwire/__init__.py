"""JumpWire's flows, stages through which records stream: nodes in, a `Flow` and problems out."""

from typing import Any, Final

from agent.flow.dialects.jumpwire.front import read_flow
from agent.flow.dialects.jumpwire.limits import LIMITS
from agent.flow.dialects.jumpwire.words import JUMPWIRE
from agent.flow.front_end import FrontEnd

__all__ = ["FRONT_END"]


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
    make_schema=_make_schema,
    make_page=_make_page,
)
