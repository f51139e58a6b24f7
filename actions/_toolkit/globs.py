"""Which files a `path:` means: one pattern a line, read as `@actions/glob` and actions/upload-artifact read it.

`*`, `?` and `[...]` stay within one name, `**` spans folders, a folder means all that is in it, `!` takes away what
was found before, `#` begins a comment, `~` is the home folder. Names that begin with a dot are left out unless asked for.

Of what is found, files have their permission bits, empty folders are folders, and a link to something else that is found is a link. Any other
link is followed if it ends in the workspace, or in the folder outside of it that a pattern names; one that leads elsewhere is left
out with a warning, like what is neither file nor folder.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from _toolkit.step import StepError, warn
from _toolkit.trees import Entry, file_entry

_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line of a `path:`."""

    is_exclude: bool
    search: Path  # where to look: the part before the first wild card
    expression: re.Pattern[str]  # of a whole path, or of a folder above it

    def matches(self, path: str) -> bool:
        """Whether the pattern means this path or a folder that it lies in."""
        return self.expression.match(path) is not None


@dataclass(slots=True)
class Found:
    """What was found, by name, and the folder from which names count."""

    root: Path
    entries: list[Entry]

    @property
    def file_count(self) -> int:
        """How many files and links there are."""
        return sum(not entry.is_folder for entry in self.entries)


def find_files(lines: str, workspace: Path, *, with_hidden: bool) -> Found:
    """The files, links and empty folders that the patterns in `lines` mean."""
    patterns = [
        _read(line, workspace) for line in map(str.strip, lines.splitlines()) if line and line[0] != "#"
    ]
    searches = _outermost([pattern.search for pattern in patterns if not pattern.is_exclude])
    if not searches:
        raise StepError("the input 'path' names nothing", "write a file, a folder or a pattern a line")
    walk = _Walk(patterns, with_hidden=with_hidden)
    for search in searches:
        walk.look(search, workspace)
    walk.settle_links()
    root = _common_root(searches, list(walk.found))
    cut = len(str(root).rstrip("/")) + 1
    entries = [walk.finish(path, cut) for path in sorted(walk.found) if path[cut:]]
    return Found(root, entries)


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


@dataclass(slots=True)
class _Link:
    """A link that was come across: where it stands, where it leads, what may be followed, and the folders that it is in."""

    path: str
    real: str
    inside: Sequence[Path]
    above: tuple[str, ...]


@dataclass(slots=True)
class _Walk:
    """What is found below the places that are looked at, by the path at which it was seen."""

    patterns: list[Pattern]
    with_hidden: bool
    found: dict[str, Entry] = field(default_factory=dict)
    _seen: dict[str, str] = field(
        default_factory=dict
    )  # where files and folders really are -> where they were seen
    _links: list[_Link] = field(default_factory=list)

    def look(self, search: Path, workspace: Path) -> None:
        """Look at one place, and below it."""
        if search.name.startswith(".") and not self.with_hidden:
            return
        real = os.path.realpath(search)
        if not os.path.exists(real):  # noqa: PTH110  (a path is text here)
            return
        inside = [workspace] if search.is_relative_to(workspace) else [workspace, Path(real)]
        self._take(_Link(str(search), real, inside, ()))

    def settle_links(self) -> None:
        """Links to what was found are links; what others lead to is found where they stand."""
        for link in self._links:  # which grows, by the links in what is followed
            if link.real in link.above:  # it leads back to a folder that it is in
                continue
            is_there = link.real in self._seen and self._is_kept(self._seen[link.real])
            if is_there and self._is_wanted(link.path):
                self.found[link.path] = Entry(link.path, Path(link.path), link=self._seen[link.real])
            elif not os.path.exists(link.real):  # noqa: PTH110
                warn(f"'{link.path}' is a link to nothing: left out")
            else:
                self._take(link)

    def finish(self, path: str, cut: int) -> Entry:
        """What was found at `path`, named from the tree's top, which `cut` characters lead to."""
        entry = self.found[path]
        if entry.link:
            return Entry(path[cut:], entry.source, link=os.path.relpath(entry.link, os.path.dirname(path)))  # noqa: PTH120
        end = "/" if entry.is_folder else ""
        return Entry(path[cut:] + end, entry.source, "", entry.size, entry.changed_ns, entry.mode, entry.mark)

    def _is_kept(self, path: str) -> bool:
        """Whether the file or folder, or something below it, is among what was found."""
        return path in self.found or any(other.startswith(f"{path}/") for other in self.found)

    def _take(self, link: _Link) -> None:
        """What is really at a place that was named or linked to."""
        if not any(Path(link.real).is_relative_to(root) for root in link.inside):
            warn(f"'{link.path}' is a link that leads out of the workspace: left out")
        elif os.path.isdir(link.real):  # noqa: PTH112
            if link.real not in link.above:  # else it leads back to a folder that we are in
                self._folder(link)
        elif os.path.isfile(link.real):  # noqa: PTH113
            self._file(link.path, link.real, os.stat(link.real))  # noqa: PTH116
        else:
            warn(f"'{link.path}' is no file: left out")

    def _folder(self, place: _Link) -> None:
        self._seen.setdefault(place.real, place.path)
        above = (*place.above, place.real)
        with os.scandir(place.real) as found:
            entries = list(found)
        if not entries and self._is_wanted(place.path):
            mode = os.stat(place.real).st_mode & 0o777  # noqa: PTH116
            self.found[place.path] = Entry(f"{place.path}/", Path(place.real), mode=mode)
        for entry in entries:
            if entry.name.startswith(".") and not self.with_hidden:
                continue
            path, real = f"{place.path}/{entry.name}", f"{place.real}/{entry.name}"
            if entry.is_symlink():
                self._links.append(_Link(path, os.path.realpath(real), place.inside, above))
            elif entry.is_dir(follow_symlinks=False):
                self._folder(_Link(path, real, place.inside, above))
            elif entry.is_file(follow_symlinks=False):
                self._file(path, real, entry.stat(follow_symlinks=False))
            else:
                warn(f"'{path}' is no file: left out")

    def _file(self, path: str, real: str, facts: os.stat_result) -> None:
        if self._is_wanted(path):
            self._seen.setdefault(real, path)
            self.found[path] = file_entry(path, Path(real), facts)

    def _is_wanted(self, path: str) -> bool:
        is_wanted = False
        for pattern in self.patterns:
            if pattern.is_exclude == is_wanted and pattern.matches(path):
                is_wanted = not pattern.is_exclude
        return is_wanted


def _common_root(searches: list[Path], files: list[str]) -> Path:
    """Where names begin: the one place that was looked at, or the folder that all places have in common."""
    if len(searches) > 1:
        return Path(os.path.commonpath(searches))
    return searches[0].parent if files == [str(searches[0])] and not searches[0].is_dir() else searches[0]
