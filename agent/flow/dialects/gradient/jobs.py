"""`jobs`: each with its one action, its data and its place, and that they can all get their turn."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent.flow.dialects.gradient.actions import read_action
from agent.flow.dialects.gradient.brings import read_brings
from agent.flow.dialects.gradient.data import JobData, Typed, find_shared, read_typed
from agent.flow.dialects.gradient.keeps import check_outputs, keep_shared, read_keeps
from agent.flow.dialects.gradient.places import read_place
from agent.flow.dialects.gradient.values import as_text, read_env
from agent.flow.model import MOST_MINUTES, Job, Template
from agent.flow.needs import check_needs
from agent.flow.nodes import Mapping as MappingNode
from agent.flow.nodes import Node, Scalar, key_text
from agent.flow.reading import Reader
from agent.flow.tidied import list_fields, list_pairs, text_of, texts_of

_ID: Final = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,98}"
_TIMEOUT: Final = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[smhd]?)")
_MINUTES: Final = {"s": 1 / 60, "": 1.0, "m": 1.0, "h": 60.0, "d": 24 * 60.0}
_NO_NAME: Final = "Gradient itself refuses `name`: here it is what is shown"


@dataclass(frozen=True, slots=True)
class _Flow:
    """What the jobs of one flow share while they are read."""

    reader: Reader
    defaults: Node | None
    inputs: Mapping[str, Typed]
    jobs: Mapping[str, JobData]


def read_jobs(
    reader: Reader, node: Node | None, defaults: Node | None, inputs: Mapping[str, Typed]
) -> dict[str, Job]:
    """All jobs by id, in the file's order. `inputs` are the flow's."""
    pairs = [(key, value) for key, value in list_pairs(node) if isinstance(value, MappingNode)]
    if node is not None and not list_pairs(node):
        reader.report(node, "there is no job")
    if pairs and isinstance(node, MappingNode):
        check_needs(reader, node)
    flow = _Flow(
        reader,
        defaults,
        inputs,
        {key_text(key): _read_data(reader, key, value, inputs) for key, value in pairs},
    )
    return {key_text(key): _read_job(flow, key, value) for key, value in pairs}


def warn_of_name(reader: Reader, node: Node | None) -> None:
    """Note that a name is ours."""
    if node is not None:
        reader.warn(node, _NO_NAME)


def _read_data(reader: Reader, key: Scalar, node: Node, given: Mapping[str, Typed]) -> JobData:
    fields = list_fields(node)
    inputs = fields.get("inputs")
    outputs = read_typed(reader, fields.get("outputs"))
    return JobData(key_text(key), texts_of(fields.get("needs")), inputs, outputs, find_shared(inputs, given))


def _read_job(flow: _Flow, key: Scalar, node: Node) -> Job:
    reader, identifier = flow.reader, key_text(key)
    if not re.fullmatch(_ID, identifier):
        reader.report(
            key, f"'{identifier}' can't be a job's name", "letters, digits, `_` and `-`, fewer than 100"
        )
    fields = list_fields(node)
    warn_of_name(reader, fields.get("name"))
    data = flow.jobs[identifier]
    check_outputs(reader, fields.get("outputs"), flow.jobs)
    step = read_action(reader, node, data)
    place = read_place(reader, fields.get("resources"), flow.defaults)
    return Job(
        identifier,
        key.position,
        name=as_text(text_of(fields.get("name"))) or None,
        needs=data.needs,
        runs_on=place.runs_on,
        place=place.words,
        env=read_env(reader, fields.get("env")),
        steps=() if step is None else (step,),
        timeout_minutes=_read_timeout(reader, fields.get("timeout")),
        resources=place.resources,
        brings=read_brings(reader, data, flow.jobs, flow.inputs),
        keeps=(*read_keeps(reader, data), *keep_shared(data, key.position)),
    )


def _read_timeout(reader: Reader, node: Node | None) -> Template:
    """In minutes; 0 is never."""
    if node is None:
        return 0
    found = _TIMEOUT.fullmatch(text_of(node).strip())
    minutes = float(found["number"]) * _MINUTES[found["unit"]] if found else 0.0
    if not 0 < minutes <= MOST_MINUTES:
        reader.report(
            node,
            f"'{text_of(node)}' is no time-out",
            "minutes, or a number with a unit: `90s`, `30m`, `2h`, `1d`",
        )
    return minutes
