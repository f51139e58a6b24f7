"""The flows that a flow of a connected repository calls: of its own commit, and of other repositories.

`owner/repo/path@ref` lies on the host of the repository whose flow calls it, `https://host/owner/repo/path@ref` where it
says. The operator's rule holds for both (`agent.server.triggers.outside`). What a private one is opened with: the token of
the connected repository that it is, in the same project, else that of the calling one where both are on one host; never
for the flow of a stranger's request to merge. A `flow.lock` beside the calling flow holds refs to commits.
"""

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agent.errors import AgentError, NotFoundError, UsageError
from agent.flow.called import load_called
from agent.flow.model import Flow
from agent.resolve.lock import parse_lock
from agent.resolve.pins import Pins
from agent.resolve.reference import RepositoryReference, UrlReference, parse_reference
from agent.resolve.sources.bundled import refuse_reserved
from agent.server.pools import OverloadedError, Pool
from agent.server.triggers.mirror import Mirror, MirrorFile
from agent.server.triggers.outside import OutsideRule, check_url, host_of
from agent.trees import remove_tree

_MOST_COPIES = 100
_TURN_SECONDS = 5.0  # a thread of another host's share is not kept from it for longer
ReadOthers = Callable[[str, Pins], str]  # the text behind a reference to another repository


@dataclass(frozen=True, slots=True)
class CallingRepository:
    """Whose flows call: the repository's project and URL, and the token for a URL; empty where there is none."""

    project: int
    url: str
    find_token: Callable[[str], str]


class OtherRepositories:
    """Copies of repositories that are not connected, for the flows in them. All blocks."""

    def __init__(self, outside: OutsideRule, folder: Path, limit_bytes: int, threads: Pool) -> None:
        self._outside = outside
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._threads = threads  # one of which all of this runs in
        self._turns: dict[str, threading.Lock] = {}

    def reader(self, caller: CallingRepository) -> ReadOthers:
        """Reads as `caller` may."""
        return lambda reference, pins: self._read(caller, reference, pins)

    def _read(self, caller: CallingRepository, text: str, pins: Pins) -> str:
        """Raises UsageError that says why it can't be read: it is the flow that does not start, and nothing else.

        OverloadedError where that is for now only.
        """
        reference = parse_reference(text)
        if not isinstance(reference, RepositoryReference | UrlReference):
            raise UsageError("this is no file of a repository", where=text)
        try:
            return self._fetch(caller, reference, pins.settle(reference).ref)
        except OverloadedError:
            raise
        except AgentError as error:
            raise UsageError(
                f"the called flow can't be read: {error.what}", where=text, hint=error.hint
            ) from None

    def _fetch(
        self, caller: CallingRepository, reference: RepositoryReference | UrlReference, ref: str
    ) -> str:
        url = check_url(locate(caller.url, reference))
        token = caller.find_token(url)
        name = _folder_name(caller.project, url, token)
        with self._share(caller, url), self._turns.setdefault(name, threading.Lock()):
            place = self._outside.check(url)
            self._make_room(name)
            mirror = Mirror(self._folder / name, place, token, self._limit_bytes)
            commit = mirror.find_named(ref)
            if not commit:
                raise NotFoundError(f"the repository has no '{ref[:80]}'")
            file = mirror.find_file(commit, reference.path)
            if file is None:
                raise NotFoundError(f"there is no {reference.path} at {ref[:80]}")
            return mirror.read(file)

    def _share(self, caller: CallingRepository, url: str) -> AbstractContextManager[None]:
        """A turn at another host than the caller's, which has one already: a silent one is waited for by few."""
        if is_same_host(caller.url, url):
            return contextlib.nullcontext()
        host = host_of(url)
        return self._threads.shares.held(host, _TURN_SECONDS, lambda: self._threads.refuse(host))

    def _make_room(self, name: str) -> None:
        """The copies that nobody has used for longest go, when there are too many; `name` counts as used."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.utime(self._folder / name)
        copies = sorted((copy for copy in self._folder.iterdir() if copy.name != name), key=_used_at)
        for copy in copies[: -_MOST_COPIES + 1]:
            turn = self._turns.setdefault(copy.name, threading.Lock())
            if turn.acquire(blocking=False):
                remove_tree(copy)
                turn.release()


def read_called(
    mirror: Mirror, commit: str, flow: Flow, lock: str | None, others: ReadOthers
) -> Mapping[str, str]:
    """The texts of the flows that `flow` of the commit calls, by reference; `lock` is the text of its flow.lock. Blocks.

    Raises UsageError for one that can't be read, InvalidFlowError.
    """
    pins = Pins(None if lock is None else parse_lock(lock).pins, warns=False)

    def read(reference: str) -> str:
        if not reference.startswith("./"):
            return others(reference, pins)
        file = mirror.find_file(commit, reference.removeprefix("./"))
        if file is None:
            raise UsageError("the called flow is not in the commit", where=reference)
        return mirror.read(file)

    return load_called(flow, read)


def read_beside(mirror: Mirror, commit: str, path: str, name: str) -> str | None:
    """The text of the file `name` beside `path`, or in a folder above it, in the commit. Blocks."""
    folder = path.rpartition("/")[0]
    while True:
        file: MirrorFile | None = mirror.find_file(commit, f"{folder}/{name}".lstrip("/"))
        if file is not None:
            return mirror.read(file)
        if not folder:
            return None
        folder = folder.rpartition("/")[0]


def locate(own: str, reference: RepositoryReference | UrlReference) -> str:
    """The URL of the repository that a flow of the repository at `own` names: what has no host is on the same one.

    Raises RefusedError for a name that is reserved.
    """
    if isinstance(reference, UrlReference):
        return reference.url
    refuse_reserved(reference)
    base = own.removesuffix(".git").rpartition("/")[0].rpartition("/")[0]
    suffix = ".git" if own.endswith(".git") else ""
    return f"{base}/{reference.owner}/{reference.repository}{suffix}"


def plain_url(url: str) -> str:
    """`url` as two of them are told apart: without `.git`, the host in small letters."""
    parts = urlsplit(url.rstrip("/").removesuffix(".git"))
    return parts._replace(netloc=parts.netloc.lower()).geturl()


def is_same_host(one: str, other: str) -> bool:
    """Whether both are on one host, spoken to in the same way."""
    ours, theirs = urlsplit(one), urlsplit(other)
    return (ours.scheme, ours.netloc.lower()) == (theirs.scheme, theirs.netloc.lower())


def _used_at(copy: Path) -> float:
    try:
        return copy.stat().st_mtime
    except FileNotFoundError:  # it went meanwhile
        return 0.0


def _folder_name(project: int, url: str, token: str) -> str:
    """What one may read with a token, others may not: each has a copy of its own."""
    told = json.dumps([project, plain_url(url), token])
    return hashlib.sha256(told.encode()).hexdigest()[:40]
