"""About how many bytes records are: one of them is looked at, since every one would cost more than its work."""

from collections.abc import Mapping, Sequence

_NODE_BYTES = 64  # an object of Python's
_MOST_NODES = 200


def weigh(values: Sequence[object]) -> int:
    """About how much memory the records of a batch take."""
    return _weigh(values[-1], [_MOST_NODES]) * len(values) if values else 0


def _weigh(value: object, left: list[int]) -> int:
    left[0] -= 1
    if isinstance(value, str | bytes):
        return _NODE_BYTES + len(value)
    if isinstance(value, Mapping):
        size = 2 * _NODE_BYTES
        for count, (key, item) in enumerate(value.items()):
            if left[0] <= 0:
                return size * len(value) // max(1, count)
            size += len(key) + _weigh(item, left)
        return size
    if isinstance(value, Sequence):
        size = _NODE_BYTES
        for count, item in enumerate(value):
            if left[0] <= 0:
                return size * len(value) // max(1, count)
            size += 8 + _weigh(item, left)
        return size
    return _NODE_BYTES // 2
