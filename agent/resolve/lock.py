"""`flow.lock`: what each `uses:` of the flows beside it, of steps and of jobs, is held to. Text in, `Lock` out, and back.

TOML, a table a pin, in alphabetical order: a moved pin is one changed line, and two branches that add different pins
merge. `flows` names the files that it was made for, so that it can be brought up to date without naming them again.

    version = 1
    flows = ["train.yml"]

    [actions."actions/checkout@v4"]
    commit = "11bd71901bbe5b1630ceea73d27597364c9af683"
    url = "https://github.com/actions/checkout"

    [images."python:3.12"]
    digest = "sha256:..."

`url` says where the commit was found, to people; a machine with other places takes the same commit from there.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.errors import UsageError
from agent.redaction import redact
from agent.resolve.pins import IMAGE_PREFIX, format_key
from agent.resolve.reference import ImageReference, RepositoryReference, UrlReference, parse_reference
from agent.resolve.sources.git import is_commit

FILE_NAME = "flow.lock"
VERSION = 1
LONGEST = 512 * 1024  # characters
MOST_PINS = 2000

_HEAD = "# What each `uses:` of these flows is held to. Written by `agent action lock`; keep it in version control.\n"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FLOW = re.compile(r"[^/\x00-\x1f\x7f]+")
_LONGEST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Pin:
    """A commit, and the repository's URL where it was found, without credentials."""

    commit: str
    url: str


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file's contents; the keys of `actions` are those of `agent.resolve.pins`."""

    flows: tuple[str, ...] = ()  # file names, beside the lock
    actions: Mapping[str, Pin] = field(default_factory=lambda: MappingProxyType({}))
    images: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))  # image -> digest

    @property
    def pins(self) -> dict[str, str]:
        """Everything that is pinned, as a job takes it along: key -> commit or digest."""
        commits = {key: pin.commit for key, pin in self.actions.items()}
        return commits | {f"{IMAGE_PREFIX}{image}": digest for image, digest in self.images.items()}


def read_lock(file: Path) -> Lock:
    """The lock in `file`. Raises UsageError when it can't be read or is not valid."""
    return parse_lock(read_lock_text(file), str(file))


def read_lock_text(file: Path) -> str:
    """The text of `file`, unjudged. Raises UsageError when it can't be read."""
    try:
        with file.open(encoding="utf-8") as stream:
            return stream.read(LONGEST + 1)
    except OSError as error:
        raise UsageError(f"the lock file can't be read: {error.strerror}", where=str(file)) from None
    except UnicodeDecodeError:
        raise UsageError("the lock file is not UTF-8 text", where=str(file)) from None


def parse_lock(text: str, where: str = FILE_NAME) -> Lock:
    """The lock that `text` is; `where` names it in messages. Raises UsageError for anything that we would not write."""
    reader = _Reader(where)
    top = reader.read_toml(text)
    reader.expect_keys(top, {"version", "flows", "actions", "images"}, "")
    if top.get("version") != VERSION:
        raise reader.refuse("version", f"this is not a lock of version {VERSION}")
    actions, images = reader.tables(top, "actions"), reader.tables(top, "images")
    if len(actions) + len(images) > MOST_PINS:
        raise reader.refuse("", f"more than {MOST_PINS} pins")
    return Lock(
        flows=tuple(reader.read_flows(top.get("flows", []))),
        actions={key: reader.read_pin(key, table) for key, table in actions.items()},
        images={image: reader.read_image(image, table) for image, table in images.items()},
    )


def format_lock(lock: Lock) -> str:
    """The text of a lock file; the same lock is always the same text."""
    return "\n".join([_HEAD + f"version = {VERSION}\n{_format_flows(lock)}", *_format_tables(lock)])


class _Reader:
    """Checks one lock: it may come from anybody, and what it says is given to git and shown on terminals."""

    def __init__(self, where: str) -> None:
        self._where = where

    def read_toml(self, text: str) -> dict[str, Any]:
        if len(text) > LONGEST:
            raise self.refuse("", f"it is longer than {LONGEST} characters")
        try:
            return tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise self.refuse("", f"not valid TOML: {error}") from None

    def read_flows(self, flows: object) -> list[str]:
        if not isinstance(flows, list):
            raise self.refuse("flows", "a list of file names was expected")
        for name in flows:
            if not isinstance(name, str) or not _FLOW.fullmatch(name) or name in {".", ".."}:
                raise self.refuse("flows", "each is the name of a file beside the lock")
        return flows

    def read_pin(self, key: str, table: dict[str, Any]) -> Pin:
        place = _place("actions", key)
        reference = _parse(key)
        is_repository = isinstance(reference, RepositoryReference | UrlReference)
        if not is_repository or is_commit(reference.ref) or format_key(reference) != key:
            raise self.refuse(
                place, "a pin is for owner/repository@ref or URL@ref, without a path or a commit"
            )
        self.expect_keys(table, {"commit", "url"}, place)
        commit, url = self._text(table, "commit", place), self._text(table, "url", place)
        if not is_commit(commit):
            raise self.refuse(place, "`commit` is not the full name of a commit")
        if redact(url) != url:
            raise self.refuse(
                place, "`url` holds credentials; remove them, and renew them where they are valid"
            )
        return Pin(commit, url)

    def read_image(self, image: str, table: dict[str, Any]) -> str:
        place = _place("images", image)
        if _parse(f"{IMAGE_PREFIX}{image}") != ImageReference(image):
            raise self.refuse(place, "this is not an image's name")
        self.expect_keys(table, {"digest"}, place)
        digest = self._text(table, "digest", place)
        if not _DIGEST.fullmatch(digest):
            raise self.refuse(place, "`digest` is not sha256: and 64 digits")
        return digest

    def tables(self, top: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
        found = top.get(name, {})
        if not isinstance(found, dict) or not all(isinstance(table, dict) for table in found.values()):
            raise self.refuse(name, "a table of tables was expected")
        return found

    def expect_keys(self, table: dict[str, Any], known: set[str], place: str) -> None:
        for key in table:
            if key not in known:
                raise self.refuse(place, f"unknown key {key[:_LONGEST_SHOWN]!a}")

    def _text(self, table: dict[str, Any], key: str, place: str) -> str:
        text = table.get(key, "")
        if not isinstance(text, str) or not text.isprintable() or len(text) > 2000:
            raise self.refuse(place, f"`{key}` is not one short line of text")
        return text

    def refuse(self, place: str, what: str) -> UsageError:
        return UsageError(
            f"the lock file is not valid: {what}",
            where=f"{self._where}: {place}" if place else self._where,
            hint="`agent action lock` writes it; where two branches have met in it, keep the lines of both",
        )


def _parse(key: str) -> Any:
    try:
        return parse_reference(key)
    except UsageError:
        return None


def _place(table: str, key: str) -> str:
    """A key for a message, harmless and short."""
    shown = key if key.isprintable() else ascii(key)
    return f"{table}.{redact(shown)[:_LONGEST_SHOWN]}"


def _format_flows(lock: Lock) -> str:
    names = [f"  {_quote(name)},\n" for name in sorted(lock.flows)]
    return f"flows = [\n{''.join(names)}]\n" if names else "flows = []\n"


def _format_tables(lock: Lock) -> Iterator[str]:
    for key, pin in sorted(lock.actions.items()):
        yield f"[actions.{_quote(key)}]\ncommit = {_quote(pin.commit)}\nurl = {_quote(pin.url)}\n"
    for image, digest in sorted(lock.images.items()):
        yield f"[images.{_quote(image)}]\ndigest = {_quote(digest)}\n"


def _quote(text: str) -> str:
    """`text` as a TOML string: those of JSON are, when they hold no control characters."""
    return json.dumps(text, ensure_ascii=False)
