"""The front end: a file's nodes are read by the table, then its parts become the model."""

from collections.abc import Mapping
from dataclasses import replace

from agent.flow.dialects.github.jobs import PERMISSION_LEVELS, read_jobs
from agent.flow.dialects.github.members import check_members
from agent.flow.dialects.github.parts import (
    list_fields,
    read_concurrency,
    read_defaults,
    read_permissions,
    template_of,
    text_of,
)
from agent.flow.dialects.github.table.flow import FLOW_SHAPE
from agent.flow.dialects.github.table.members import VOCABULARY
from agent.flow.dialects.github.triggers import read_triggers
from agent.flow.dialects.github.words import GITHUB
from agent.flow.model import Flow
from agent.flow.problems import Problem
from agent.flow.reading import Reader
from agent.flow.source import Node


def read_flow(root: Node, file: str, _companions: Mapping[str, str]) -> tuple[Flow | None, list[Problem]]:
    """The flow that the nodes describe, and every problem; no flow where any problem is an error."""
    reader = Reader(VOCABULARY)
    fields = list_fields(reader.read(root, FLOW_SHAPE))
    flow = Flow(
        file,
        GITHUB,
        read_jobs(reader, fields.get("jobs")),
        name=text_of(fields.get("name")) or None,
        run_name=template_of(fields.get("run-name")) or None,
        triggers=read_triggers(reader, fields.get("on")),
        env=template_of(fields.get("env")),
        defaults=read_defaults(fields.get("defaults")),
        permissions=read_permissions(fields.get("permissions"), PERMISSION_LEVELS),
        concurrency=read_concurrency(reader, fields.get("concurrency")),
    )
    flow = replace(flow, outputs_read=check_members(reader, fields))
    return (None if reader.has_errors else flow), reader.problems
