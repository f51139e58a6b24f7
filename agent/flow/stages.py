"""Stages: what a job does whose work is neither steps nor a call. Records stream through them, from triggers onward.

A job has its stages in the file's order; `order_stages` gives them so that each comes after those that hand records to it.
In any text of a stage's config, `${secret.NAME}` and `${secrets.NAME}` stand for a secret; every other `${` is text.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from agent.flow.written import Position

_SECRET: Final = re.compile(r"\$\{secrets?\.([A-Za-z_][A-Za-z0-9_-]*)\}")


def _nothing() -> Mapping[str, object]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FlowStage:
    """One stage of a flow. `config` is complete and checked plain data, with the templates of its secrets still in it."""

    name: str
    action: str  # a canonical name (docs/decisions/019-stages.md)
    position: Position
    written: str  # the action as the file calls it
    config: Mapping[str, object] = field(default_factory=_nothing)
    out: tuple[str, ...] = ()  # names of the stages that get what it gives; each gets all of it
    uses: str = ""  # the action's reference, of `uses`


def order_stages(stages: Sequence[FlowStage]) -> tuple[FlowStage, ...]:
    """The stages, each after all that hand records to it, else in the file's order. They have no cycle."""
    waits = {stage.name: 0 for stage in stages}
    for stage in stages:
        for name in stage.out:
            waits[name] += 1
    by_name = {stage.name: stage for stage in stages}
    ready = [stage for stage in reversed(stages) if not waits[stage.name]]
    ordered: list[FlowStage] = []
    while ready:
        stage = ready.pop()
        ordered.append(stage)
        for name in reversed(stage.out):
            waits[name] -= 1
            if not waits[name]:
                ready.append(by_name[name])
    return tuple(ordered)


def list_named(value: object) -> Iterator[str]:
    """The names of the secrets that stand in the texts of JSON-like data, as written, one for each place."""
    if isinstance(value, str):
        yield from _SECRET.findall(value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from list_named(key)
            yield from list_named(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from list_named(inner)
