"""Outputs as lines of a step's output: `::name::JSON`.

A line whose rest is no JSON says nothing to us: it is log, as `::debug::text` is. So is a number that is not finite, which JSON
doesn't have and nobody whom we hand it to could read, and what is nested deeper than anybody means it.
"""

import re
from typing import Final

from agent import codec
from agent.job.commands.effects import Effects

_DEEPEST: Final = 100
_LINE: Final = re.compile(rb"\s*::([^:\s](?:[^:]*[^:\s])?)::(.*)", re.DOTALL)


def take_value(effects: Effects, line: bytes) -> bool:
    """Note the output on `line`; False where there is none, so that the line is shown as it is."""
    match = _LINE.fullmatch(line)
    if match is None:
        return False
    try:
        value = codec.load_standard(match[2])
        name = match[1].decode()
    except ValueError:
        return False
    if _is_too_deep(value):
        return False
    effects.outputs[name] = value
    return True


def _is_too_deep(value: object) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        ]
        if not level:
            return False
    return True
