"""A repository's files in a job's own copy: from the store, or fetched into it from the first place that has them."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from agent.errors import AgentError, DamagedError, NotFoundError, UnreachableError
from agent.redaction import redact
from agent.resolve.lfs import fetch_contents, find_pointers
from agent.resolve.sources import git
from agent.resolve.store import ActionStore
from agent.resolve.stored_repository import Make, StoredFiles, StoredRepository
from agent.resolve.tree import read_commit, write_tree
from agent.trees import remove_tree

Admit = Callable[[str], None]  # raises RefusedError for a URL that nothing may come from
_MOST_MOVES = 4


@dataclass(frozen=True, slots=True)
class Fetched:
    """A repository's files at a commit, in this job's copy."""

    root: Path
    commit: str
    origin: str
    warnings: tuple[str, ...] = ()


class Fetcher:
    """Fetches for one job. Safe to use from several threads. `copies` is the job's own folder."""

    def __init__(self, store: ActionStore, copies: Path, limit_bytes: int) -> None:
        self._store = store
        self._copies = copies
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._fetched: dict[tuple[str, ...], Fetched] = {}

    def fetch(self, urls: tuple[str, ...], ref: str, admit: Admit) -> Fetched:
        """The repository's files at `ref`, from the first of `urls` that has it; once a job.

        A place that the repository has moved to is asked for only if `admit` raises nothing. Raises NotFoundError,
        UnreachableError, RefusedError.
        """
        key = (*urls, ref)
        with self._lock:  # one at a time: two steps that use one action must not make its copy twice
            if key not in self._fetched:
                self._fetched[key] = self._fetch_from_first(urls, ref, admit)
                return self._fetched[key]
            return replace(self._fetched[key], warnings=())

    def _fetch_from_first(self, urls: tuple[str, ...], ref: str, admit: Admit) -> Fetched:
        errors: list[AgentError] = []
        for url in self._sort(urls, ref):
            try:
                return self._fetch_wherever(url, ref, admit)
            except (NotFoundError, UnreachableError) as error:
                errors.append(error)
        if any(isinstance(error, UnreachableError) for error in errors):
            known = self._find_last_known(urls, ref)
            if known is not None:
                return known
        raise combine(errors)

    def _sort(self, urls: tuple[str, ...], ref: str) -> list[str]:
        """For a commit the places first that it was fetched from before: it is the same everywhere."""
        if not git.is_commit(ref):
            return list(urls)
        return sorted(urls, key=lambda url: not self._store.repository(url).has(ref))

    def _fetch_wherever(self, url: str, ref: str, admit: Admit) -> Fetched:
        """From `url`, or from where it has moved to."""
        place = url
        warnings: tuple[str, ...] = ()
        for _ in range(_MOST_MOVES):
            try:
                fetched = self._fetch_one(place, ref, self._store.repository(place))
                return replace(fetched, warnings=(*warnings, *fetched.warnings))
            except git.MovedError as moved:
                if not moved.place:
                    raise
                admit(moved.place)
                warnings = (f"{redact(url)} has moved to {redact(moved.place)}; write the new address",)
                place = moved.place
        raise git.MovedError(url, "")

    def _fetch_one(self, url: str, ref: str, repository: StoredRepository) -> Fetched:
        found = git.find_ref(url, ref)
        with self._hold(url, ref, found, repository) as commit:
            try:
                return self._copy(url, commit, repository)
            except DamagedError:
                pass
        repository.drop(commit)
        again = git.FoundRef(commit, found.name or commit)
        with repository.add(ref, commit, self._make_fetch(url, ref, again)) as commit:
            warning = "the stored copy of this action had been changed on this machine; it was fetched again"
            copy = self._copy(url, commit, repository)
            return replace(copy, warnings=(warning, *copy.warnings))

    @contextlib.contextmanager
    def _hold(self, url: str, ref: str, found: git.FoundRef, repository: StoredRepository) -> Iterator[str]:
        """The commit of what was found, fetched if need be; as long as this lasts, it stays in the store."""
        with repository.hold(found.commit) as is_here:
            if is_here:
                repository.remember(ref, found.commit)
                yield found.commit
                return
        with repository.add(ref, found.commit, self._make_fetch(url, ref, found)) as commit:
            yield commit

    def _make_fetch(self, url: str, ref: str, found: git.FoundRef) -> Make:
        def make(files: Path) -> StoredFiles:
            bare = files.with_name("repository")
            try:
                commit = git.fetch(url, ref, found, bare, limit_bytes=self._limit_bytes)
                where = f"{redact(url)} at {commit}"
                submodules = write_tree(bare, commit, files, limit_bytes=self._limit_bytes, where=where)
                large = find_pointers(bare, commit, files)
                return StoredFiles(commit, read_commit(bare, commit), submodules, large)
            finally:
                remove_tree(bare)

        return make

    def _copy(self, url: str, commit: str, repository: StoredRepository) -> Fetched:
        target = self._copies / repository.name / commit
        bring = partial(fetch_contents, url, limit_bytes=self._limit_bytes)
        warnings = () if target.is_dir() else repository.copy(commit, target, bring)
        return Fetched(target, commit, redact(url), warnings)

    def _find_last_known(self, urls: tuple[str, ...], ref: str) -> Fetched | None:
        """What `ref` was when it was last seen at one of `urls`, if that is intact."""
        for url in urls:
            repository = self._store.repository(url)
            commit = repository.last_known(ref)
            with repository.hold(commit) as is_here, contextlib.suppress(DamagedError):
                if is_here:
                    copy = self._copy(url, commit, repository)
                    said = f"{redact(url)} can't be reached; '{ref}' is taken to be {commit[:12]}, as it last was"
                    return replace(copy, warnings=(said, *copy.warnings))
        return None


def combine(errors: list[AgentError]) -> AgentError:
    """One error for all places that were tried: a ref that is missing says more than a missing repository, and that than silence."""
    if len(errors) == 1:
        return errors[0]
    for kind in (git.UnknownRefError, UnreachableError, NotFoundError):
        for error in errors:
            if isinstance(error, kind):
                others = "; ".join(f"{other.where}: {other.what}" for other in errors if other is not error)
                return type(error)(
                    error.what, where=error.where, hint=f"{error.hint}; also {others}".lstrip("; ")
                )
    return errors[0]
