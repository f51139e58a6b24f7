"""The front end: a file's nodes are read by the table, then its parts become the model."""

from collections.abc import Mapping

from agent.flow.dialects.gradient.data import read_typed
from agent.flow.dialects.gradient.jobs import read_jobs, warn_of_name
from agent.flow.dialects.gradient.table.flow import FLOW_SHAPE
from agent.flow.dialects.gradient.triggers import read_triggers
from agent.flow.dialects.gradient.values import as_text, read_env
from agent.flow.dialects.gradient.words import GRADIENT
from agent.flow.merging import merge_keys
from agent.flow.model import Flow
from agent.flow.nodes import Node
from agent.flow.problems import Problem
from agent.flow.reading import Reader
from agent.flow.tidied import list_fields, text_of


def read_flow(root: Node, file: str, _companions: Mapping[str, str]) -> tuple[Flow | None, list[Problem]]:
    """The flow that the nodes describe, and every problem; no flow where any problem is an error."""
    reader = Reader(has_expressions=False)
    fields = list_fields(reader.read(merge_keys(root), FLOW_SHAPE))
    defaults = fields.get("defaults")
    inputs = read_typed(reader, fields.get("inputs"))
    warn_of_name(reader, fields.get("name"))
    flow = Flow(
        file,
        GRADIENT,
        read_jobs(reader, fields.get("jobs"), defaults, inputs),
        name=as_text(text_of(fields.get("name"))) or None,
        triggers=read_triggers(reader, fields.get("on"), root, inputs),
        env=read_env(reader, list_fields(defaults).get("env")),
    )
    return (None if reader.has_errors else flow), reader.problems
