"""DataTorch's flows, which its later documents call pipelines: nodes in, a `Flow` and problems out."""

from typing import Any, Final

from agent.flow.dialects.datatorch.front import read_flow
from agent.flow.dialects.datatorch.limits import LIMITS
from agent.flow.dialects.datatorch.words import DATATORCH
from agent.flow.front_end import FrontEnd

__all__ = ["FRONT_END"]


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
    make_schema=_make_schema,
    make_page=_make_page,
)
