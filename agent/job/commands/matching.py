"""Matching of a step's output with patterns: how a file of problem matchers is read, and what its patterns find in a line."""

import contextlib
import json
import os
import re
import signal
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.job.commands.stdout import CommandError

_MAX_FILE_BYTES = 1 << 20
_MATCH_SECONDS = 1.0  # of computing, for one line
_COLOUR = re.compile(r"\x1b\[[0-9;]*m?")
_SEVERITIES = ("error", "warning", "notice")
_PARTS = ("file", "line", "column", "severity", "code", "message", "fromPath")


class MatcherError(CommandError):
    """A file of matchers that cannot be used; its text is for the user."""


class _TooSlowError(Exception):
    """A pattern has had its time."""


@dataclass(frozen=True, slots=True)
class MatchedProblem:
    """A problem that was found in a step's output; `file` is relative to the workspace, or empty."""

    severity: str
    message: str
    file: str = ""
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True, slots=True)
class _Pattern:
    expression: re.Pattern[str]
    groups: Mapping[str, int]  # part -> number of the group
    loops: bool


@dataclass(slots=True)
class Matcher:
    """A matcher of a file, and what its patterns have found in the lines before."""

    owner: str
    severity: str
    from_path: str
    patterns: tuple[_Pattern, ...]
    state: list[dict[str, str] | None] = field(
        default_factory=list
    )  # what the patterns before the last have found

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget lines that began a match."""
        self.state = [None] * (len(self.patterns) - 1)

    def match(self, line: str) -> dict[str, str] | None:
        """The parts of the problem that ends with `line`."""
        for index in range(len(self.patterns) - 1, -1, -1):
            before = self.state[index - 1] if index else {}
            if before is None:
                continue
            pattern = self.patterns[index]
            found = pattern.expression.search(line)
            is_last = index == len(self.patterns) - 1
            parts = _collect(before, pattern, found) if found else None
            if not is_last:
                self.state[index] = parts
            elif parts is not None:
                self.reset()
                if pattern.loops and index:
                    self.state[index - 1] = before
                return parts
            elif index:
                self.state[index - 1] = None
        return None


def read_matchers(path: Path) -> list[Matcher]:
    """The matchers of a file. Raises MatcherError."""
    data = _read_config(path)
    found = data.get("problemMatcher") if isinstance(data, dict) else None
    if not isinstance(found, list):
        raise MatcherError("a file of matchers holds a list 'problemMatcher'")
    return [_read_matcher(item) for item in found]


def find_problem(
    line: str,
    matchers: list[Matcher],
    workspace: Path,
    to_host: Callable[[str], str],
    warn: Callable[[str], None],
) -> tuple[str, MatchedProblem] | None:
    """The problem that ends with `line`, and the line without its colours. A matcher that takes too long is taken out."""
    plain = _COLOUR.sub("", line)
    for matcher in tuple(matchers):
        try:
            with _limited_time():
                parts = matcher.match(plain)
        except _TooSlowError:
            matchers.remove(matcher)
            warn(f"Removing issue matcher '{matcher.owner}': a pattern takes too long")
            continue
        if parts is None:
            continue
        for other in matchers:
            if other is not matcher:
                other.reset()
        file = _locate(parts.get("file", ""), parts.get("fromPath") or matcher.from_path, workspace, to_host)
        problem = _describe(matcher, parts, file)
        if problem is not None:
            return plain, problem
    return None


def _describe(matcher: Matcher, parts: Mapping[str, str], file: str) -> MatchedProblem | None:
    severity = (parts.get("severity") or matcher.severity or "error").lower()
    message = parts.get("message", "")
    if severity not in _SEVERITIES or not message.strip():
        return None
    return MatchedProblem(
        severity, message, file, _read_number(parts.get("line")), _read_number(parts.get("column"))
    )


def _locate(file: str, from_path: str, workspace: Path, to_host: Callable[[str], str]) -> str:
    """`file` relative to the workspace when it is a file there."""
    if not file.strip():
        return ""
    folder = Path(to_host(from_path)).parent if from_path else ""
    path = Path(os.path.normpath(workspace / folder / to_host(file)))
    with contextlib.suppress(OSError, ValueError):
        if path.is_file() and path.is_relative_to(workspace):
            return str(path.relative_to(workspace))
    return ""


def _collect(before: Mapping[str, str], pattern: _Pattern, found: re.Match[str]) -> dict[str, str]:
    """The parts found so far; what an earlier line said stays."""
    parts = {
        name: found[number] or "" for name, number in pattern.groups.items() if number <= found.re.groups
    }
    return {**parts, **before}


def _read_config(path: Path) -> object:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise MatcherError(f"the file of matchers cannot be read: {path}: {error.strerror}") from None
    try:
        information = os.fstat(file)
        if not stat.S_ISREG(information.st_mode) or information.st_size > _MAX_FILE_BYTES:
            raise MatcherError(f"not a file of matchers: {path}")
        data: object = json.loads(os.read(file, _MAX_FILE_BYTES).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise MatcherError(f"a file of matchers is JSON: {path}: {error}") from None
    finally:
        os.close(file)
    return data


def _read_matcher(data: object) -> Matcher:
    if not isinstance(data, dict) or not data.get("owner"):
        raise MatcherError("Property 'owner' must not be empty")
    owner = str(data["owner"])
    severity = str(data.get("severity") or "")
    if severity and severity.lower() not in _SEVERITIES:
        raise MatcherError(f"Property 'severity' of the matcher '{owner}' is 'error', 'warning' or 'notice'")
    written = data.get("pattern")
    if not isinstance(written, list) or not written:
        raise MatcherError(f"Matcher '{owner}' does not contain any patterns")
    patterns = tuple(_read_pattern(item, owner) for item in written)
    if any(pattern.loops for pattern in patterns[:-1]) or (len(patterns) == 1 and patterns[0].loops):
        raise MatcherError(f"Only the last pattern of several may loop: matcher '{owner}'")
    if "message" not in patterns[-1].groups:
        raise MatcherError(f"The last pattern of the matcher '{owner}' must find the message")
    return Matcher(owner, severity, str(data.get("fromPath") or ""), patterns)


def _read_pattern(data: object, owner: str) -> _Pattern:
    if not isinstance(data, dict):
        raise MatcherError(f"a pattern of the matcher '{owner}' is not an object")
    text = str(data.get("regexp") or "")
    try:
        expression = re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", text), re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise MatcherError(f"a pattern of the matcher '{owner}' is no regular expression: {error}") from None
    groups = {part: data[part] for part in _PARTS if isinstance(data.get(part), int)}
    return _Pattern(expression, groups, data.get("loop") is True)


def _read_number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


@contextlib.contextmanager
def _limited_time() -> Iterator[None]:
    """Raise _TooSlowError once the block has computed for too long: Python's patterns heed signals as they search."""

    def stop(_number: int, _frame: object) -> None:
        raise _TooSlowError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, _MATCH_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
