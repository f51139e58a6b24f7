"""Workflows that depend on themselves, through others and through other files."""

from collections.abc import Mapping, Sequence

from agent.flow.dialects.dstack.data import Need


def find_cycle(name: str, needs: Mapping[str, Sequence[Need]]) -> list[Need]:
    """The shortest way from a workflow back to itself, need by need; empty where there is none."""
    ways: list[list[Need]] = [[need] for need in needs.get(name, ())]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        last = way[-1].name
        if last == name:
            return way
        if last not in seen:
            seen.add(last)
            ways += [[*way, need] for need in needs.get(last, ())]
    return []
