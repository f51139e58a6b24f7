"""GitHub Actions' language, the one that this product speaks by itself: nodes in, a `Flow` and problems out."""

from typing import Any, Final

from agent.flow.dialects.github.calls import check_called
from agent.flow.dialects.github.front import read_flow
from agent.flow.dialects.github.limits import LIMITS
from agent.flow.dialects.github.words import GITHUB
from agent.flow.front_end import FrontEnd, WrittenFlow
from agent.flow.model import Flow
from agent.flow.problems import Problem
from agent.flow.source import Node

__all__ = ["FRONT_END"]


# What a run of a flow does not ask for is imported when somebody does.
def _check_action(manifest: Node) -> list[Problem]:
    from agent.flow.dialects.github.action_members import check_action_members

    return check_action_members(manifest)


def _make_schema() -> dict[str, Any]:
    from agent.flow.dialects.github.table.flow import FLOW_SHAPE
    from agent.flow.editor import make_schema

    return make_schema(FLOW_SHAPE, "A flow in GitHub Actions' workflow language.")


def _make_page() -> str:
    from agent.flow.dialects.github.page import make_page

    return make_page()


def _write(flow: Flow) -> WrittenFlow:
    from agent.flow.dialects.github.writing import write_flow

    return write_flow(flow)


FRONT_END: Final = FrontEnd(
    GITHUB,
    limits=LIMITS,
    read=read_flow,
    check_call=check_called,
    check_action=_check_action,
    make_schema=_make_schema,
    make_page=_make_page,
    write=_write,
)
