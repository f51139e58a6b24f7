"""`hashFiles(...)`: one SHA-256 over the SHA-256 of every file that the patterns name, or '' when there is none.

Patterns are those of @actions/glob: `*`, `?`, `[...]`, `**`, a leading `!` takes away, a later one may add again; they are
relative to the workspace, a folder means all that is in it, hidden files included. Files outside the workspace and
folders are passed over.

Source: actions/runner `src/Misc/expressionFunc/hashFiles`, @actions/glob `internal-globber.ts`, `internal-pattern.ts`.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.flow.expressions import ExpressionError

_FOLLOW = "--follow-symbolic-links"
_BLOCK_BYTES = 1 << 20
_SHOWN_CHARACTERS = 200


def hash_files(workspace: Path, arguments: Sequence[str]) -> str:
    """The hash of the files in `workspace` that `arguments` name.

    Raises ExpressionError for an unknown option, and for a file that can't be read: its path is too long, for one.
    """
    from hashlib import sha256  # here and below: it brings OpenSSL along, and most jobs never ask

    follows = False
    if arguments and arguments[0].startswith("--"):
        if arguments[0].lower() != _FOLLOW:
            raise ExpressionError(
                "evaluation", f"Invalid glob option {arguments[0]}, avaliable option: '{_FOLLOW}'."
            )
        follows, arguments = True, arguments[1:]
    patterns = [
        _read_pattern(line, workspace)
        for argument in arguments
        for line in (item.strip() for item in argument.splitlines())
        if line and not line.startswith("#")
    ]
    total = sha256()
    count = 0
    try:
        for file in _find_files(workspace, patterns, follows=follows):
            total.update(_hash_file(file))
            count += 1
    except OSError as error:
        where = str(error.filename)[-_SHOWN_CHARACTERS:]
        raise ExpressionError("evaluation", f"hashFiles failed: {error.strerror}: '{where}'") from None
    return total.hexdigest() if count else ""


@dataclass(frozen=True, slots=True)
class _Pattern:
    is_negated: bool
    root: Path  # the longest part without wildcards: where the search begins
    expression: re.Pattern[str]


def _read_pattern(line: str, workspace: Path) -> _Pattern:
    negated = False
    while line.startswith("!"):
        negated, line = not negated, line[1:].strip()
    path = line if line.startswith("/") else f"{workspace}/{line}"
    path = os.path.normpath(path)
    segments = path.split("/")
    root = "/".join(
        segments[: next((i for i, part in enumerate(segments) if set(part) & set("*?[")), len(segments))]
    )
    return _Pattern(negated, Path(root or "/"), re.compile(_translate(segments)))


def _translate(segments: Sequence[str]) -> str:
    """A regular expression for a path that matches, or that lies in a folder that does."""
    pieces: list[str] = []
    for index, segment in enumerate(segments):
        if segment == "**":
            pieces.append("(?:/[^/]+)*")
        elif index > 0:
            pieces.append("/" + _translate_segment(segment))
    return "".join(pieces) + r"(?:/.*)?\Z"


def _translate_segment(segment: str) -> str:
    result = ""
    position = 0
    while position < len(segment):
        character = segment[position]
        closing = segment.find("]", position + 2) if character == "[" else -1
        if character == "*":
            result += "[^/]*"
        elif character == "?":
            result += "[^/]"
        elif closing > 0:
            inner = segment[position + 1 : closing].replace("\\", "\\\\")
            result += f"[{'^' + inner[1:] if inner[0] in '!^' else inner}]"
            position = closing
        elif character == "\\" and position + 1 < len(segment):
            position += 1
            result += re.escape(segment[position])
        else:
            result += re.escape(character)
        position += 1
    return result


def _find_files(workspace: Path, patterns: Sequence[_Pattern], *, follows: bool) -> Iterator[Path]:
    """Files in the order in which @actions/glob finds them: depth first, names sorted."""
    roots = [pattern.root for pattern in patterns if not pattern.is_negated]
    roots = [
        root
        for root in dict.fromkeys(roots)
        if not any(other != root and other in root.parents for other in roots)
    ]
    seen: set[Path] = set()
    for root in roots:
        for file in _walk(root, follows=follows, is_followed=follows or root == workspace):
            if file not in seen and file.is_relative_to(workspace) and _is_wanted(str(file), patterns):
                seen.add(file)
                yield file


@dataclass(frozen=True, slots=True)
class _Above:
    """A folder's real path, and the folders that it was reached through."""

    real: str
    above: "_Above | None"

    def holds(self, real: str) -> bool:
        place: _Above | None = self
        while place is not None and place.real != real:
            place = place.above
        return place is not None


def _walk(top: Path, *, follows: bool, is_followed: bool) -> Iterator[Path]:
    """Files at and below `top`; `is_followed`: also if it is a link to a folder. No recursion: a job may nest as it likes."""
    waiting: list[tuple[Path, bool, _Above | None]] = [(top, is_followed, None)]
    while waiting:
        path, is_followed, above = waiting.pop()
        if path.is_dir() and (is_followed or not path.is_symlink()):
            if follows:  # only a link can lead back to a folder that it lies in
                real = os.path.realpath(path)
                if above is not None and above.holds(real):
                    continue
                above = _Above(real, above)
            try:
                names = sorted(os.listdir(path), reverse=True)  # noqa: PTH208 - names, to be sorted
            except PermissionError:
                continue
            waiting += [(path / name, follows, above) for name in names]
        elif path.is_file():
            yield path


def _is_wanted(path: str, patterns: Sequence[_Pattern]) -> bool:
    wanted = False
    for pattern in patterns:
        if wanted == pattern.is_negated and pattern.expression.match(path):
            wanted = not pattern.is_negated
    return wanted


def _hash_file(file: Path) -> bytes:
    from hashlib import sha256

    digest = sha256()
    opened = os.open(
        file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    )  # it may be a FIFO by now: nobody waits for it
    with os.fdopen(opened, "rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.digest()
