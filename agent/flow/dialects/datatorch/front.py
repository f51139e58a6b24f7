"""The front end: a file's nodes are tidied, read by the table, and their parts become the model."""

from collections.abc import Mapping
from types import MappingProxyType

from agent.flow.dialects.datatorch.jobs import read_jobs
from agent.flow.dialects.datatorch.table.flow import FLOW_SHAPE
from agent.flow.dialects.datatorch.templates import tidy_nodes
from agent.flow.dialects.datatorch.triggers import read_triggers
from agent.flow.dialects.datatorch.words import DATATORCH
from agent.flow.members import Vocabulary
from agent.flow.model import Flow
from agent.flow.nodes import Node, plain
from agent.flow.problems import Problem
from agent.flow.reading import Reader
from agent.flow.tidied import list_fields, text_of

_VOCABULARY = Vocabulary({})


def read_flow(
    root: Node, file: str, _companions: Mapping[str, str] = MappingProxyType({})
) -> tuple[Flow | None, list[Problem]]:
    """The flow that the nodes describe, and every problem; no flow where any problem is an error."""
    reader = Reader(_VOCABULARY)
    tidied = tidy_nodes(reader, root)
    fields = list_fields(reader.read(tidied.root, FLOW_SHAPE))
    if "project" in fields and text_of(fields["project"]):
        reader.warn(
            fields["project"],
            "`project` has no effect: a flow belongs to the project in which it is stored or started",
            "--project names it",
        )
    jobs = read_jobs(reader, fields.get("jobs"))
    flow = Flow(
        file,
        DATATORCH,
        jobs,
        name=text_of(fields.get("name")) or None,
        written=_read_itself(root) if tidied.reads_itself else None,
        triggers=read_triggers(reader, fields.get("triggers"), root, tidied.inputs_read),
    )
    return (None if reader.has_errors else flow), reader.problems


def _read_itself(root: Node) -> dict[str, object] | None:
    data = plain(root)
    return data if isinstance(data, dict) else None
