"""Which files a `path:` means: one pattern a line, read as `@actions/glob` and actions/upload-artifact read it.

`*`, `?` and `[...]` stay within one name, `**` spans folders, a folder means all that is in it, `!` takes away what
was found before, `#` begins a comment, `~` is the home folder. Names that begin with a dot are left out unless asked for.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from _toolkit.step import StepError, warn

_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line of a `path:`."""

    is_exclude: bool
    search: Path  # where to look: the part before the first wild card
    expression: re.Pattern[str]  # of a whole path, or of a folder above it

    def matches(self, path: Path) -> bool:
        """Whether the pattern means this path or a folder that it lies in."""
        return self.expression.match(str(path)) is not None


@dataclass(slots=True)
class Found:
    """The files, in order, and the folder from which their names in the artifact count."""

    root: Path
    files: list[Path] = field(default_factory=list)


def find_files(lines: str, workspace: Path, *, with_hidden: bool) -> Found:
    """The regular files that the patterns in `lines` mean.

    A link is followed if it ends in the workspace, or in the folder outside of it that a pattern names; one that leads
    elsewhere is left out with a warning, like anything that is no file.
    """
    patterns = [
        _read(line, workspace) for line in map(str.strip, lines.splitlines()) if line and line[0] != "#"
    ]
    searches = _outermost([pattern.search for pattern in patterns if not pattern.is_exclude])
    if not searches:
        raise StepError("the input 'path' names nothing", "write a file, a folder or a pattern a line")
    files: dict[Path, None] = {}
    for search in searches:
        inside = (
            [workspace] if search.is_relative_to(workspace) else [workspace, Path(os.path.realpath(search))]
        )
        for path in _walk(search, inside, with_hidden=with_hidden):
            if _is_wanted(path, patterns):
                files[path] = None
    return Found(_common_root(searches, list(files)), list(files))


def _read(line: str, workspace: Path) -> Pattern:
    is_exclude = line.startswith("!")
    text = line.removeprefix("!").strip()
    if text == "~" or text.startswith("~/"):
        text = os.path.expanduser(text)  # noqa: PTH111 - Path's raises where there is no home
    if "\0" in text or not text:
        raise StepError(f"the pattern {line!a} names nothing")
    absolute = os.path.normpath(text if text.startswith("/") else f"{_escape(str(workspace))}/{text}")
    segments = [segment for segment in absolute.split("/") if segment]
    plain = next(
        (at for at, segment in enumerate(segments) if _MAGIC.search(_unescape_probe(segment))), len(segments)
    )
    search = Path("/", *(_unescape(segment) for segment in segments[:plain]))
    return Pattern(is_exclude, search, re.compile(_translate(segments)))


def _escape(text: str) -> str:
    """The text with its wild cards taken literally, as `[*]`."""
    return re.sub(r"([*?\[])", r"[\1]", text)


def _unescape_probe(segment: str) -> str:
    """The segment without its literal wild cards, to see whether others are in it."""
    return re.sub(r"\[[*?\[]\]", "", segment)


def _unescape(segment: str) -> str:
    return re.sub(r"\[([*?\[])\]", r"\1", segment)


def _translate(segments: list[str]) -> str:
    """A regular expression for paths that match all segments, or lie below a path that does."""
    parts = ["(?:/.*)?" if segment == "**" else "/" + _translate_segment(segment) for segment in segments]
    return "(?s:" + "".join(parts) + r")(?:/|\Z)"


def _translate_segment(segment: str) -> str:
    out, at = "", 0
    while at < len(segment):
        character = segment[at]
        at += 1
        if character == "*":
            out += "[^/]*"
        elif character == "?":
            out += "[^/]"
        elif character == "[" and (end := segment.find("]", at + 1)) > 0:
            inner = segment[at:end].replace("\\", "\\\\").replace("[", "\\[").replace("&&", "&\\&")
            inner = "^" + inner[1:] if inner[0] in "!^" else inner
            out += f"(?!/)[{inner}]"
            at = end + 1
        else:
            out += re.escape(character)
    return out


def _outermost(searches: list[Path]) -> list[Path]:
    """The places to look, without those that lie in others."""
    places = dict.fromkeys(searches)
    return [place for place in places if not any(parent in places for parent in place.parents)]


def _walk(
    path: Path, inside: list[Path], *, with_hidden: bool, above: tuple[Path, ...] = ()
) -> Iterator[Path]:
    if path.name.startswith(".") and not with_hidden:
        return
    real = Path(os.path.realpath(path))
    if not real.exists():
        return
    if not any(real.is_relative_to(root) for root in inside):
        warn(f"'{path}' is a link that leads out of the workspace: left out")
    elif real.is_dir():
        if real not in above:  # else a link leads back to a folder that we are in
            for name in sorted(os.listdir(real)):  # noqa: PTH208
                yield from _walk(path / name, inside, with_hidden=with_hidden, above=(*above, real))
    elif real.is_file():
        yield path
    else:
        warn(f"'{path}' is no file: left out")


def _is_wanted(path: Path, patterns: list[Pattern]) -> bool:
    is_wanted = False
    for pattern in patterns:
        if pattern.is_exclude == is_wanted and pattern.matches(path):
            is_wanted = not pattern.is_exclude
    return is_wanted


def _common_root(searches: list[Path], files: list[Path]) -> Path:
    """Where names begin: the one place that was looked at, or the folder that all places have in common."""
    if len(searches) > 1:
        return Path(os.path.commonpath(searches))
    return searches[0].parent if files == [searches[0]] else searches[0]
