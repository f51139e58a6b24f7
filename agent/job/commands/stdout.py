"""Workflow commands in a step's output: `::name key=value,key=value::data` and the older `##[name key=value;...]data`.

A command is a whole line that begins, after blanks, with `::` or `##[`; only such lines are ever looked at one by one. All
other bytes go through as they came, at once; of an unfinished line only what may yet become a command waits.

Source: actions/runner `ActionCommand.cs`, `ActionCommandManager.cs`.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

_AT_START = re.compile(rb"[ \t\r\f\v]*(?:::|##\[)")
_AFTER_NEWLINE = re.compile(rb"\n[ \t\r\f\v]*(?:::|##\[)")
_MAY_BECOME = re.compile(rb"[ \t\r\f\v]*(?::|#{0,2})")
_MAX_HELD_BYTES = 4 << 20  # an unfinished line longer than this is output, whatever it begins with


class CommandError(Exception):
    """A command that cannot be obeyed; its text is for the user."""


@dataclass(frozen=True, slots=True)
class WorkflowCommand:
    """One command as written; property names are in lower case."""

    name: str
    data: str
    properties: dict[str, str] = field(default_factory=dict)


class CommandStream:
    """Finds command lines in a stream. `handle` is given each (without its newline) and says whether it took it."""

    def __init__(self, pass_on: Callable[[bytes], None], handle: Callable[[bytes], bool]) -> None:
        self._pass_on = pass_on
        self._handle = handle
        self._held = b""  # the beginning of a line that may be a command
        self._at_line_start = True

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        buffer = self._held + data if self._held else data
        at_start = self._at_line_start or bool(self._held)
        self._held = b""
        position = 0
        if b"::" in buffer or b"##[" in buffer:
            position, at_start = self._take_commands(buffer, at_start=at_start)
        if position < len(buffer):
            self._pass_rest(buffer, position, at_start=at_start)
        else:
            self._at_line_start = True

    def finish(self) -> None:
        """The stream has ended: a last line without a newline counts too."""
        held, self._held = self._held, b""
        if held and not (_AT_START.match(held) and self._handle(held.rstrip(b"\r"))):
            self._pass_on(held)

    def _take_commands(self, buffer: bytes, *, at_start: bool) -> tuple[int, bool]:
        """Handle every finished command line; where the rest begins, and whether that is a line's start."""
        position = 0
        while (start := _find_command(buffer, position, at_start=at_start)) >= 0:
            end = buffer.find(b"\n", start)
            if end < 0:
                if start > position:
                    self._pass_on(buffer[position:start])
                return start, True
            if start > position:
                self._pass_on(buffer[position:start])
            if not self._handle(buffer[start:end].rstrip(b"\r")):
                self._pass_on(buffer[start : end + 1])
            position, at_start = end + 1, True
        return position, at_start

    def _pass_rest(self, buffer: bytes, position: int, *, at_start: bool) -> None:
        newline = buffer.rfind(b"\n", position)
        line = newline + 1 if newline >= 0 else position
        if (
            (newline >= 0 or at_start)
            and _may_be_command(buffer, line)
            and len(buffer) - line <= _MAX_HELD_BYTES
        ):
            self._held = buffer[line:]
            buffer = buffer[:line]
        if position < len(buffer):
            self._pass_on(buffer[position:] if position else buffer)
        self._at_line_start = bool(self._held) or buffer.endswith(b"\n")


def parse_command(line: str, known: Collection[str]) -> WorkflowCommand | None:
    """The command on `line`, or None when there is none of the `known` names (lower case)."""
    text = line.lstrip()
    if text.startswith("::"):
        return _parse_new_form(text, known)
    if text.startswith("##["):
        return _parse_old_form(text, known)
    return None


def _find_command(buffer: bytes, position: int, *, at_start: bool) -> int:
    """Where the next line begins that looks like a command; -1 when there is none."""
    if at_start and _AT_START.match(buffer, position):
        return position
    match = _AFTER_NEWLINE.search(buffer, position)
    return match.start() + 1 if match else -1


def _may_be_command(buffer: bytes, line: int) -> bool:
    if line >= len(buffer):
        return False
    return _AT_START.match(buffer, line) is not None or _MAY_BECOME.fullmatch(buffer, line) is not None


def _parse_new_form(text: str, known: Collection[str]) -> WorkflowCommand | None:
    information, separator, data = text[2:].partition("::")
    name, _space, properties = information.partition(" ")
    if not separator or name.lower() not in known:
        return None
    return WorkflowCommand(
        name.lower(), _unescape(data, _DATA), _parse_properties(properties.strip(), ",", _PROPERTY)
    )


def _parse_old_form(text: str, known: Collection[str]) -> WorkflowCommand | None:
    information, separator, data = text[3:].partition("]")
    name, _space, properties = information.partition(" ")
    if not separator or name.lower() not in known:
        return None
    return WorkflowCommand(
        name.lower(), _unescape(data, _OLD), _parse_properties(properties.strip(), ";", _OLD)
    )


def _parse_properties(text: str, separator: str, escapes: "dict[str, str]") -> dict[str, str]:
    pairs = (item.split("=", 1) for item in text.split(separator) if "=" in item)
    return {key.strip().lower(): _unescape(value, escapes) for key, value in pairs if key and value}


_DATA = {"%0D": "\r", "%0A": "\n", "%25": "%"}
_PROPERTY = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ",", "%25": "%"}
_OLD = {"%3B": ";", "%0D": "\r", "%0A": "\n", "%5D": "]", "%25": "%"}


def _unescape(text: str, escapes: "dict[str, str]") -> str:
    if "%" not in text:
        return text
    for escaped, plain in escapes.items():  # the percent sign itself comes last
        text = text.replace(escaped, plain)
    return text
