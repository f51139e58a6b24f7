"""`retry`: how often, and when, a stage tries a record again. A number says how often, all else is said in full.

The documents name the times, 5,000 of them, and no key.
"""

from typing import Final

from agent.flow.dialects.jumpwire.settings import ConfigKey
from agent.flow.dialects.jumpwire.values import number, whole
from agent.flow.nodes import Mapping, Node, key_text
from agent.flow.reading import Reader
from agent.flow.shapes import NUMBER, Fields, Shape, mapping, one_of

MOST_ATTEMPTS: Final = 1_000_000
_DAY: Final = 86_400
_read_attempts = whole(1, MOST_ATTEMPTS)
RETRY: Final = Fields(
    "retry",
    ConfigKey("attempts", NUMBER, "How often in all.", read=_read_attempts, default=5000),
    ConfigKey("first", NUMBER, "Seconds of the first wait.", read=number(0, _DAY, "seconds"), default=0.5),
    ConfigKey("factor", NUMBER, "By what each wait is longer than the one before it.", read=number(1, 100), default=2.0),
    ConfigKey("most", NUMBER, "Seconds of the longest wait.", read=number(0, _DAY, "seconds"), default=60.0),
    ConfigKey("jitter", NUMBER, "The share of each wait that is left to chance, 0 to 1.", read=number(0, 1), default=0.5),
)  # fmt: skip
RETRY_SHAPE: Final[Shape] = one_of(NUMBER, mapping(RETRY))
DEFAULTS: Final = {key.name: key.default for key in RETRY.keys.values() if isinstance(key, ConfigKey)}


def read_retry(reader: Reader, node: Node) -> object:
    """All of it, with defaults for what is not written."""
    if not isinstance(node, Mapping):
        return {**DEFAULTS, "attempts": _read_attempts(reader, node)}
    written = {key_text(key): value for key, value in node.pairs}
    return {
        name: setting.read(reader, written[name]) if name in written else setting.default
        for name, setting in RETRY.keys.items()
        if isinstance(setting, ConfigKey)
    }
