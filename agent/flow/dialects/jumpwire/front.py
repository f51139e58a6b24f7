"""The front end: a file's nodes are read by the table, and its stages become the one job of a flow."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from agent.flow.dialects.jumpwire.contexts import BY_HAND
from agent.flow.dialects.jumpwire.reading import read_stages
from agent.flow.dialects.jumpwire.table.flow import FLOW_SHAPE
from agent.flow.dialects.jumpwire.words import JUMPWIRE
from agent.flow.model import Flow, Job, Trigger, TriggerKind
from agent.flow.nodes import Node
from agent.flow.problems import Problem
from agent.flow.reading import Reader
from agent.flow.tidied import list_fields, text_of

JOB: Final = "stages"  # the id of the one job


def read_flow(
    root: Node, file: str, _companions: Mapping[str, str] = MappingProxyType({})
) -> tuple[Flow | None, list[Problem]]:
    """The flow that the nodes describe, and every problem; no flow where any problem is an error."""
    reader = Reader(has_expressions=False)
    fields = list_fields(reader.read(root, FLOW_SHAPE))
    name = text_of(fields.get("name"))
    stages = read_stages(reader, root)
    job = Job(
        JOB,
        root.position,
        name=_quote(name),
        runs_on=[],
        timeout_minutes=0.0,  # as long as records may come
        stages=stages,
    )
    by_hand = Trigger(BY_HAND, root.position, kind=TriggerKind.BY_HAND)
    flow = Flow(file, JUMPWIRE, {JOB: job}, name=name or None, triggers=(by_hand,))
    return (None if reader.has_errors else flow), reader.problems


def _quote(name: str) -> str:
    """A name that is text, whatever stands in it, where others would have templates."""
    return name.replace("${{", "${{ '${{' }}")
