"""Does an event start a flow? GitHub's rules for the filters of `on`.

Patterns are not those of a shell: `*` is anything but `/`, `**` anything, `?` makes the character before it optional,
`+` lets it repeat, `[]` is a set, a backslash takes the meaning away, and `!` at the start takes out again what a pattern
above took in. Source: GitHub's documentation, "Filter pattern cheat sheet".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from agent.flow.model import Trigger

# What counts when a flow names no activity types; for all other events every type counts.
DEFAULT_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "pull_request": ("opened", "synchronize", "reopened"),
    "pull_request_target": ("opened", "synchronize", "reopened"),
}


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, as far as filters ask."""

    name: str
    ref: str = ""  # push: `refs/heads/x` or `refs/tags/x`; pull requests and others: the base branch, in full or short
    action: str = ""  # the activity type
    paths: Sequence[str] | None = None  # changed files; None: not known, so path filters let it pass
    workflow: str = ""  # workflow_run: the name of the flow whose run it was
    names: Sequence[str] = ()  # image_version: the image's name
    versions: Sequence[str] = ()  # image_version: its version


def matches(trigger: Trigger, event: Event) -> bool:
    """Whether `event` starts a flow that has this trigger."""
    if trigger.event != event.name:
        return False
    filters = trigger.filters
    return (
        _type_counts(trigger, event)
        and _ref_counts(filters, event)
        and _paths_count(filters, event)
        and _listed(filters.get("workflows"), (event.workflow,))
        and _listed(filters.get("names"), event.names)
        and _listed(filters.get("versions"), event.versions)
    )


def matches_patterns(patterns: Sequence[str], text: str) -> bool:
    """Whether the last pattern that fits `text` lets it in; `!pattern` takes out. No pattern fits: no."""
    is_in = False
    for pattern in patterns:
        negated = pattern.startswith("!")
        if negated is is_in and compile_pattern(pattern[1:] if negated else pattern).fullmatch(text):
            is_in = not negated
    return is_in


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A filter pattern as a regular expression for the whole text."""
    return re.compile(_translate(pattern), re.DOTALL)


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


def _translate(pattern: str) -> str:
    pieces: list[str] = []
    for match in _PART.finditer(pattern):
        part = match[0]
        if part == "**/":
            pieces.append("(?:.*/)?")
        elif part[0] == "*":
            pieces.append(".*" if len(part) > 1 else "[^/]*")
        elif part in "?+" and pieces:
            pieces[-1] = _quantify(pieces[-1], part)
        elif part[0] == "[" and len(part) > 1:
            pieces.append(_translate_set(part[1:-1]))
        else:
            pieces.append(re.escape(part[1:] if len(part) == 2 and part[0] == "\\" else part))
    return "".join(pieces)


def _quantify(piece: str, token: str) -> str:
    """Make a piece optional or repeating; one that may be empty already, or repeats, stays linear to match."""
    if piece.endswith(("*", ")?")):
        return piece
    if piece.endswith(("?", "+")) and not piece.endswith(("\\?", "\\+")):
        return f"(?:{piece[:-1]})*" if piece[-1] != token else piece
    return piece + token


def _translate_set(body: str) -> str:
    escaped = body.replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
    try:
        re.compile(f"[{escaped}]")
    except re.error:  # a range the wrong way round: take its characters for themselves
        return f"[{re.escape(body)}]"
    return f"[{escaped}]"


def _type_counts(trigger: Trigger, event: Event) -> bool:
    types = trigger.filters.get("types") or DEFAULT_TYPES.get(trigger.event, ())
    return not types or not event.action or event.action in types


def _ref_counts(filters: Mapping[str, Sequence[str]], event: Event) -> bool:
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


def _paths_count(filters: Mapping[str, Sequence[str]], event: Event) -> bool:
    """A tag has no changed files to ask about."""
    if event.paths is None or event.ref.startswith("refs/tags/"):
        return True
    if "paths" in filters and not any(matches_patterns(filters["paths"], path) for path in event.paths):
        return False
    ignored = filters.get("paths-ignore")
    return ignored is None or not all(matches_patterns(ignored, path) for path in event.paths)


def _listed(patterns: Sequence[str] | None, values: Sequence[str]) -> bool:
    return patterns is None or any(matches_patterns(patterns, value) for value in values)
