"""Does an event start a flow? GitHub's rules for the filters of `on`.

Patterns are not those of a shell: `*` is anything but `/`, `**` anything, `?` makes the character before it optional,
`+` lets it repeat, `[]` is a set, a backslash takes the meaning away, and `!` at the start takes out again what a pattern
above took in. Source: GitHub's documentation, "Filter pattern cheat sheet".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from agent.flow.activity_types import BY_DEFAULT
from agent.flow.model import Trigger


@dataclass(frozen=True, slots=True)
class Happening:
    """What happened, as far as filters ask."""

    name: str
    ref: str = ""  # push: `refs/heads/x` or `refs/tags/x`; pull requests and others: the base branch, in full or short
    action: str = ""  # the activity type
    paths: Sequence[str] | None = None  # changed files; None: not known, so path filters let it pass
    workflow: str = ""  # workflow_run: the name of the flow whose run it was
    names: Sequence[str] = ()  # image_version: the image's name
    versions: Sequence[str] = ()  # image_version: its version


def matches(trigger: Trigger, event: Happening) -> bool:
    """Whether `event` starts a flow that has this trigger."""
    return trigger.event == event.name and not explain_mismatch(trigger, event)


def explain_mismatch(trigger: Trigger, event: Happening) -> str:
    """Which filter keeps an event of the trigger's name out, as a sentence without its end; "" when none does."""
    filters = trigger.filters
    if not _type_counts(trigger, event):
        return f"its `types` leave out '{event.action}'"
    if not _ref_counts(filters, event):
        return f"its {_said(filters, _REF_FILTERS)} leave out '{_short(event.ref)}'"
    if not _paths_count(filters, event):
        return f"no changed file gets through its {_said(filters, _PATH_FILTERS)}"
    for name, values in (
        ("workflows", (event.workflow,)),
        ("names", event.names),
        ("versions", event.versions),
    ):
        if not _listed(filters.get(name), values):
            return f"its `{name}` leave out '{', '.join(values)}'"
    return ""


def matches_patterns(patterns: Sequence[str], text: str) -> bool:
    """Whether the last pattern that fits `text` lets it in; `!pattern` takes out. No pattern fits: no."""
    is_in = False
    for pattern in patterns:
        negated = pattern.startswith("!")
        if negated is is_in and compile_pattern(pattern[1:] if negated else pattern).fullmatch(text):
            is_in = not negated
    return is_in


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> "FilterPattern":
    """A filter pattern, ready to be asked."""
    return FilterPattern(_read_steps(pattern))


class FilterPattern:
    """A pattern as steps through a text.

    All ways through are followed at once, so that asking costs at most steps times characters: patterns come from other
    people's repositories, and a regular expression of theirs could keep a server busy for years.
    """

    def __init__(self, steps: "list[_Step]") -> None:
        self._steps = steps

    def fullmatch(self, text: str) -> bool:
        """Whether the pattern fits the whole text."""
        places = self._spread({0})
        for character in text:
            ahead: set[int] = set()
            for place in places:
                if place < len(self._steps) and self._steps[place].takes(character):
                    ahead.add(place + 1)
                    if self._steps[place].repeats:
                        ahead.add(place)
            places = self._spread(ahead)
            if not places:
                return False
        return len(self._steps) in places

    def _spread(self, places: set[int]) -> set[int]:
        """The places, and those that can be reached without a character."""
        waiting = list(places)
        while waiting:
            place = waiting.pop()
            if place == len(self._steps):
                continue
            for skipped in self._steps[place].skips:
                if place + skipped not in places:
                    places.add(place + skipped)
                    waiting.append(place + skipped)
        return places


@lru_cache(maxsize=64)
def explain_pattern(pattern: str) -> str:
    """What is wrong with a pattern, as the end of a sentence, or nothing."""
    body = pattern.removeprefix("!")
    if not body:
        return "is empty"
    if body[0] in "?+":
        return f"begins with `{body[0]}`, which needs a character before it"
    for match in _PART.finditer(body):
        if match[0] == "[":
            return "has a `[` that is never closed"
    return ""


_PART = re.compile(r"\\.|\*\*/|\*+|\[[^\]]+\]|.", re.DOTALL)


_Ranges = tuple[tuple[str, str], ...]


class _Step(NamedTuple):
    """One part of a pattern: which characters it takes, whether again, how many steps may be left out here."""

    ranges: _Ranges
    repeats: bool = False
    skips: tuple[int, ...] = ()

    def takes(self, character: str) -> bool:
        return any(first <= character <= last for first, last in self.ranges)


_NOTHING: Final[_Ranges] = ()
_ANY: Final[_Ranges] = (("\0", "\U0010ffff"),)
_NO_SLASH: Final[_Ranges] = (("\0", "."), ("0", "\U0010ffff"))
_SLASH: Final[_Ranges] = (("/", "/"),)


def _read_steps(pattern: str) -> list[_Step]:
    steps: list[_Step] = []
    for match in _PART.finditer(pattern):
        part = match[0]
        if part == "**/" and pattern[: match.start()][-1:] in {"", "/"}:  # no folder at all, or whole ones
            steps += [_Step(_NOTHING, skips=(1, 3)), _Step(_ANY, repeats=True), _Step(_SLASH)]
        elif part[0] == "*":
            steps.append(_Step(_ANY if len(part) > 1 else _NO_SLASH, repeats=True, skips=(1,)))
            if part[-1] == "/":
                steps.append(_Step(_SLASH))
        elif part == "?" and steps:
            steps[-1] = steps[-1]._replace(skips=(1,))
        elif part == "+" and steps:
            steps[-1] = steps[-1]._replace(repeats=True)
        elif part[0] == "[" and len(part) > 1:
            steps.append(_Step(_read_set(part[1:-1])))
        else:
            steps.append(_Step(((part[-1], part[-1]),)))
    return steps


def _read_set(body: str) -> _Ranges:
    """The inside of `[]`: characters and ranges; a hyphen at an end, or in a range the wrong way round, is a character."""
    ranges: list[tuple[str, str]] = []
    at = 0
    while at < len(body):
        if body[at + 1 : at + 2] == "-" and at + 2 < len(body) and body[at] <= body[at + 2]:
            ranges.append((body[at], body[at + 2]))
            at += 3
        else:
            ranges.append((body[at], body[at]))
            at += 1
    return tuple(ranges)


_REF_FILTERS: Final = ("branches", "branches-ignore", "tags", "tags-ignore")
_PATH_FILTERS: Final = ("paths", "paths-ignore")


def _said(filters: Mapping[str, Sequence[str]], names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names if name in filters)


def _short(ref: str) -> str:
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


def _type_counts(trigger: Trigger, event: Happening) -> bool:
    types = trigger.filters.get("types") or BY_DEFAULT.get(trigger.event, ())
    return not types or not event.action or event.action in types


def _ref_counts(filters: Mapping[str, Sequence[str]], event: Happening) -> bool:
    """Only-tags filters keep branches out, and the other way round."""
    wants_branches = "branches" in filters or "branches-ignore" in filters
    wants_tags = "tags" in filters or "tags-ignore" in filters
    if not wants_branches and not wants_tags:
        return True
    if event.ref.startswith("refs/tags/"):
        return wants_tags and _kind_counts(filters, "tags", event.ref.removeprefix("refs/tags/"))
    return wants_branches and _kind_counts(filters, "branches", event.ref.removeprefix("refs/heads/"))


def _kind_counts(filters: Mapping[str, Sequence[str]], kind: str, name: str) -> bool:
    if kind in filters and not matches_patterns(filters[kind], name):
        return False
    return f"{kind}-ignore" not in filters or not matches_patterns(filters[f"{kind}-ignore"], name)


def _paths_count(filters: Mapping[str, Sequence[str]], event: Happening) -> bool:
    """A tag has no changed files to ask about."""
    if event.paths is None or event.ref.startswith("refs/tags/"):
        return True
    if "paths" in filters and not any(matches_patterns(filters["paths"], path) for path in event.paths):
        return False
    ignored = filters.get("paths-ignore")
    return ignored is None or not all(matches_patterns(ignored, path) for path in event.paths)


def _listed(patterns: Sequence[str] | None, values: Sequence[str]) -> bool:
    return patterns is None or any(matches_patterns(patterns, value) for value in values)
