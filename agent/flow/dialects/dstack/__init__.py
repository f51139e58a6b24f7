"""dstack's language of 2022 and early 2023: `.dstack/workflows.yaml`, and what lies beside it."""

from typing import Any, Final

from agent.flow.dialects.dstack.companions import list_companions
from agent.flow.dialects.dstack.front import read_flow
from agent.flow.dialects.dstack.limits import LIMITS
from agent.flow.dialects.dstack.overrides import OPTIONS, write_overrides, write_workflow
from agent.flow.dialects.dstack.words import DSTACK
from agent.flow.front_end import FrontEnd
from agent.flow.model import Flow
from agent.flow.problems import Problem

__all__ = ["FRONT_END"]


def _make_schema() -> dict[str, Any]:
    from agent.flow.dialects.dstack.table.files import LANGUAGE
    from agent.flow.editor import make_schema

    return make_schema(LANGUAGE, "Workflows in dstack's language of 2022 and early 2023.")


def _make_page() -> str:
    from agent.flow.dialects.dstack.page import make_page

    return make_page()


def _spell_out(flow: Flow) -> tuple[Flow, list[Problem]]:
    from agent.flow.dialects.dstack.spelling import spell_out

    return spell_out(flow)


FRONT_END: Final = FrontEnd(
    DSTACK,
    limits=LIMITS,
    read=read_flow,
    make_schema=_make_schema,
    make_page=_make_page,
    list_companions=list_companions,
    options=OPTIONS,
    spell_out=_spell_out,
    write_overrides=write_overrides,
    write_alone=write_workflow,
)
