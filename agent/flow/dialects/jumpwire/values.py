"""Values of configs: each reader gives what the stages expect, and reports what can't be used, at its place."""

import re
import warnings
from typing import Final
from zoneinfo import ZoneInfo

from agent.config import read_size
from agent.errors import UsageError
from agent.flow.cron import expand_cron
from agent.flow.dialects.jumpwire.settings import ReadValue
from agent.flow.members import find_close
from agent.flow.nodes import Node, Scalar, key_text, plain
from agent.flow.reading import Reader
from agent.flow.stages import list_named
from agent.flow.tidied import list_items, list_pairs, text_of, texts_of

TYPES: Final = ("int", "float", "string", "bool")
_OTHER_TYPES: Final = {
    "integer": "int", "number": "float", "double": "float", "decimal": "float", "str": "string", "text": "string", "boolean": "bool",
}  # fmt: skip
_WEEK: Final = 7  # days
_LONGEST_MONTHS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SLOT: Final = re.compile(r"[a-z0-9_]{1,63}")
_SLASHED: Final = re.compile(r"/(.*)/([imsux]*)", re.DOTALL)
_LONGEST_PATTERN: Final = 2000  # to make one takes some 10 µs a character
_FLAGS: Final = "imsx"  # that mean the same in Python


def has_secret(text: str) -> bool:
    """Whether a text is known whole only when the flow runs."""
    return any(True for _ in list_named(text))


def read_texts(_reader: Reader, node: Node) -> list[str]:
    """One text or many, as a list."""
    return list(texts_of(node))


def read_some_texts(reader: Reader, node: Node) -> list[str]:
    """One text or many, as a list that is not empty."""
    found = list(texts_of(node))
    if not found:
        reader.report(node, "the list is empty", "name one, or leave the key out")
    return found


def whole(least: int, most: int) -> ReadValue:
    """A whole number of that range."""

    def read(reader: Reader, node: Node) -> object:
        value = plain(node)
        if isinstance(value, int | float) and (not least <= value <= most or value != int(value)):
            reader.report(
                node, f"expected a whole number from {least:,} to {most:,}, found {text_of(node)[:80]}"
            )
            return least
        return int(value) if isinstance(value, float) else value

    return read


def number(least: float, most: float, unit: str = "") -> ReadValue:
    """A number of that range."""
    kind = f"{unit} from" if unit else "a number from"

    def read(reader: Reader, node: Node) -> object:
        value = plain(node)
        if isinstance(value, int | float) and not least <= value <= most:
            reader.report(node, f"expected {kind} {least:g} to {most:,.15g}, found {text_of(node)[:80]}")
        return value

    return read


def read_amount_of_bytes(reader: Reader, node: Node) -> object:
    """A number of bytes, or a size such as `2 GiB`."""
    try:
        return read_size(text_of(node), "")
    except UsageError:
        reader.report(node, f"'{text_of(node)[:80]}' is not a size", "bytes, or as in `2 GiB` and `500 MB`")
        return 0


def read_slot(reader: Reader, node: Node) -> object:
    """The name of a replication slot."""
    text = text_of(node)
    if not has_secret(text) and not _SLOT.fullmatch(text):
        reader.report(
            node, f"'{text[:80]}' is no name of a slot", "at most 63 small letters, digits and `_` (PostgreSQL)"
        )  # fmt: skip
    return text


def read_pattern(reader: Reader, node: Node) -> object:
    """A regular expression; in older files it stands between slashes, with flags after the second one."""
    text = text_of(node)
    slashed = _SLASHED.fullmatch(text)
    if slashed:
        flags = "".join(flag for flag in dict.fromkeys(slashed[2]) if flag in _FLAGS)
        text = f"(?{flags}){slashed[1]}" if flags else slashed[1]
    if has_secret(text):
        return text
    if len(text) > _LONGEST_PATTERN:
        reader.report(node, f"the regular expression has more than {_LONGEST_PATTERN:,} characters")
        return text
    try:
        with warnings.catch_warnings(action="ignore"):  # of what may mean something else in a later Python
            re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        reader.report(
            node, f"'{text_of(node)[:80]}' is no regular expression: {error}", "Python's `re` reads it"
        )
    return text


def read_schedules(reader: Reader, node: Node) -> object:
    """Times of five fields, as a list."""
    items = list_items(node)
    if not items:
        reader.report(node, "there is no time", "five fields: minute hour day month weekday")
    for item in items:
        times = expand_cron(text_of(item))
        shown = f"'{text_of(item)[:80]}'"
        if times is None:
            reader.report(item, f"{shown} is no time", "five fields: minute hour day month weekday")
        elif _never_comes(*times):
            reader.report(item, f"{shown} never comes", "there is no such day in these months")
    return [text_of(item).strip() for item in items]


def read_zone(reader: Reader, node: Node) -> object:
    """A time zone by its IANA name. The zones are data that Python has: read once, the same for everybody."""
    name = text_of(node)
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown ones are the first; odd names are the others
        reader.report(
            node, f"there is no time zone '{name[:80]}'", "an IANA name, such as `Europe/Berlin` or `UTC`"
        )
    return name


def read_conversions(reader: Reader, node: Node) -> object:
    """By field, the type to convert it to."""
    return {key_text(key): _read_type(reader, value) for key, value in list_pairs(node)}


def _never_comes(
    _minutes: frozenset[int],
    _hours: frozenset[int],
    days: frozenset[int],
    months: frozenset[int],
    weekdays: frozenset[int],
) -> bool:
    """Whether no month of these has any of these days. Where days of the week are named, they count beside (POSIX crontab)."""
    return len(weekdays) == _WEEK and min(days) > max(_LONGEST_MONTHS[month - 1] for month in months)


def _read_type(reader: Reader, node: Node) -> str:
    text = text_of(node)
    if text not in TYPES:
        close = _OTHER_TYPES.get(text.lower()) or find_close(text, TYPES)
        reader.report(
            node, f"nothing is converted to '{text[:80]}'", f"did you mean `{close}`?" if close else f"one of {', '.join(TYPES)}"
        )  # fmt: skip
    return text


def is_text(node: Node | None) -> bool:
    """Whether a node is text as JSON has it: a number is none."""
    return isinstance(node, Scalar) and isinstance(node.value, str)
