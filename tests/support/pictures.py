"""Pictures of state machines in docstrings: `a, b --why--> c`, also in chains and several on a line."""

import re
from collections.abc import Iterator

_ARROW = re.compile(r"\s*(?:--|──)(?P<event>[^\s─-][^\n]*?)(?:-->|──>)\s*")
_STATES = re.compile(r"[a-zA-Z_]+(?:, [a-zA-Z_]+)*")


def arrows(picture: str) -> Iterator[tuple[str, str, str]]:
    """Each arrow of the picture as (from, event, to); names as they stand there."""
    for line in picture.splitlines():
        left = ""
        event = ""
        for index, part in enumerate(_ARROW.split(line)):
            if index % 2:
                event = part
                continue
            if left:
                (right,) = _STATES.findall(part)[:1]
                yield from ((old, event, right) for old in left.split(", "))
            left = (_STATES.findall(part) or [""])[-1]
