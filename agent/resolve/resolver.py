"""From a reference to a folder with an action in it.

A repository's places (`actions_urls`) are tried in order. What a branch or tag is, is asked each time, once a job: a
moved tag is followed. Where nobody answers, the commit that it last was is used, and a warning says so. A full commit
is never asked for again once it is here; so is a ref that is pinned to one. The machine's policy is asked first.
"""

import contextlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.errors import AgentError, DamagedError, NotFoundError, RefusedError, UnreachableError
from agent.resolve.manifest import ActionManifest, DockerRuns, NodeRuns, PythonRuns, read_manifest
from agent.resolve.pins import PinnedRef, Pins
from agent.resolve.policy import EVERYTHING, Policy
from agent.resolve.reference import (
    ImageReference,
    Reference,
    RepositoryReference,
    SelfReference,
    UrlReference,
    WorkspaceReference,
    redact,
)
from agent.resolve.sources import git
from agent.resolve.sources.bundled import find_bundled
from agent.resolve.sources.local import find_folder
from agent.resolve.store import ActionStore, Make, StoredRepository
from agent.resolve.tree import Submodules, read_commit, write_tree
from agent.spec.job import Source, SourceKind

BUNDLED = "bundled"
WORKSPACE = "workspace"
IMAGE = "image"


@dataclass(frozen=True, slots=True)
class ResolvedAction:
    """An action that is here, ready to run."""

    reference: Reference
    folder: Path  # of the action itself: GITHUB_ACTION_PATH
    commit: str  # "" for an action of the workspace and for a bundled one
    manifest: ActionManifest
    root: Path  # of its repository: `$/` starts here
    origin: str  # the repository's URL without credentials, or BUNDLED, WORKSPACE or IMAGE
    warnings: tuple[str, ...] = ()  # to show to the user, once


class Resolver:
    """Resolves for one job. Safe to use from several threads.

    `workspace` is the job's; `copies` is where this job's own copies of fetched actions go, a folder that no other job
    uses: an action may write into its folder, and must not reach the next job so. `source` is where the run's code
    comes from: `$/path` in a flow means that. `pins` holds refs to commits, `policy` forbids.
    """

    def __init__(
        self,
        store: ActionStore,
        actions_urls: Sequence[str],
        workspace: Path,
        *,
        copies: Path,
        source: Source | None = None,
        pins: Pins | None = None,
        policy: Policy = EVERYTHING,
        limit_bytes: int = git.DEFAULT_LIMIT_BYTES,
    ) -> None:
        self._store = store
        self._templates = tuple(actions_urls)
        self._workspace = workspace
        self._copies = copies
        self._source = source or Source()
        self._pins = pins or Pins()
        self._policy = policy
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._fetched: dict[tuple[str, ...], _Fetched] = {}

    def resolve(self, reference: Reference, within: ResolvedAction | None = None) -> ResolvedAction:
        """The action that `reference` names. `within` is the composite action whose step says so, if it is one's.

        Raises NotFoundError (no such repository, ref, path or manifest), UnreachableError, RefusedError (it would do
        harm), InvalidActionError.
        """
        match reference:
            case WorkspaceReference(path):
                return self._read_local(reference, self._workspace, path, WORKSPACE, "")
            case SelfReference(path) if within is not None:
                action = self._read_local(reference, within.root, path, within.origin, within.commit)
                return action if within.origin == WORKSPACE else _check_files(action)
            case SelfReference(path):
                return self._resolve_own(reference, path)
            case ImageReference(image):
                self._policy.check_image(reference)
                manifest = ActionManifest(name=image, runs=DockerRuns(image=f"docker://{image}"))
                return ResolvedAction(reference, self._workspace, "", manifest, self._workspace, IMAGE)
            case UrlReference(url):
                return self._resolve_fetched(reference, (url,))
            case RepositoryReference():
                folder = find_bundled(reference)
                if folder is None:
                    return self._resolve_fetched(reference, self._urls(reference))
                self._policy.check_bundled(reference)
                manifest = read_manifest(folder, str(reference))
                return _check_files(ResolvedAction(reference, folder, "", manifest, folder.parent, BUNDLED))

    def look_up(self, reference: RepositoryReference | UrlReference) -> tuple[str, str]:
        """The commit that `reference` is now, and the URL that says so (without credentials); pins are not heeded.

        Raises what `resolve` raises for a repository or ref that can't be found.
        """
        urls = (reference.url,) if isinstance(reference, UrlReference) else self._urls(reference)
        errors: list[AgentError] = []
        for url in urls:
            try:
                commit = git.find_ref(url, reference.ref).commit
            except (NotFoundError, UnreachableError) as error:
                errors.append(error)
                continue
            if commit:
                return commit, redact(url)
            fetched = self._fetch((url,), reference.ref)  # the beginning of a commit: only a fetch tells
            return fetched.commit, fetched.origin
        raise _combine(errors)

    def _resolve_fetched(
        self, reference: RepositoryReference | UrlReference, urls: tuple[str, ...]
    ) -> ResolvedAction:
        self._policy.check_pin(reference, self._pins)
        pinned = self._pins.settle(reference)
        urls = self._policy.choose_places(reference, urls, pinned.ref)
        try:
            fetched = self._fetch(urls, pinned.ref)
        except git.UnknownRefError as error:
            raise error if pinned.ref == reference.ref else _lost_pin(reference, pinned, error) from None
        action = self._read_fetched(reference, fetched, reference.path)
        return replace(action, warnings=(*action.warnings, *pinned.warnings))

    def _resolve_own(self, reference: SelfReference, path: str) -> ResolvedAction:
        """`$/path` in a flow: the run's own repository at the run's commit, checked out or not."""
        if self._source.kind is not SourceKind.GIT:
            return self._read_local(reference, self._workspace, path, WORKSPACE, "")
        fetched = self._fetch((self._source.url,), self._source.commit or self._source.ref)
        return self._read_fetched(reference, fetched, path)

    def _urls(self, reference: RepositoryReference) -> tuple[str, ...]:
        names = {"{owner}": reference.owner, "{repo}": reference.repository}
        if not self._templates:
            raise NotFoundError(
                "no place is configured where actions are", where=str(reference), hint="set AGENT_ACTIONS_URL"
            )
        return tuple(_fill(template, names) for template in self._templates)

    def _fetch(self, urls: tuple[str, ...], ref: str) -> "_Fetched":
        """The repository's files at `ref`, from the first of `urls` that has it; once a job."""
        key = (*urls, ref)
        with self._lock:  # one at a time: two steps that use one action must not make its copy twice
            if key not in self._fetched:
                self._fetched[key] = self._fetch_from_first(urls, ref)
                return self._fetched[key]
            return replace(self._fetched[key], warnings=())

    def _fetch_from_first(self, urls: tuple[str, ...], ref: str) -> "_Fetched":
        errors: list[AgentError] = []
        for url in urls:
            repository = self._store.repository(url)
            try:
                return self._fetch_one(url, ref, repository)
            except (NotFoundError, UnreachableError) as error:
                errors.append(error)
        if any(isinstance(error, UnreachableError) for error in errors):
            known = self._find_last_known(urls, ref)
            if known is not None:
                return known
        raise _combine(errors)

    def _fetch_one(self, url: str, ref: str, repository: StoredRepository) -> "_Fetched":
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
            return replace(self._copy(url, commit, repository), warnings=(warning,))

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
        def make(files: Path) -> tuple[str, bytes, Submodules]:
            bare = files.with_name("repository")
            try:
                commit = git.fetch(url, ref, found, bare, limit_bytes=self._limit_bytes)
                where = f"{redact(url)} at {commit}"
                submodules = write_tree(bare, commit, files, limit_bytes=self._limit_bytes, where=where)
                return commit, read_commit(bare, commit), submodules
            finally:
                shutil.rmtree(bare, ignore_errors=True)

        return make

    def _copy(self, url: str, commit: str, repository: StoredRepository) -> "_Fetched":
        target = self._copies / repository.name / commit
        if not target.is_dir():
            repository.copy(commit, target)
        return _Fetched(target, commit, redact(url))

    def _find_last_known(self, urls: tuple[str, ...], ref: str) -> "_Fetched | None":
        """What `ref` was when it was last seen at one of `urls`, if that is intact."""
        for url in urls:
            repository = self._store.repository(url)
            commit = repository.last_known(ref)
            with repository.hold(commit) as is_here, contextlib.suppress(DamagedError):
                if is_here:
                    copy = self._copy(url, commit, repository)
                    said = f"{redact(url)} can't be reached; '{ref}' is taken to be {commit[:12]}, as it last was"
                    return replace(copy, warnings=(said,))
        return None

    def _read_fetched(self, reference: Reference, fetched: "_Fetched", path: str) -> ResolvedAction:
        shown = f"{fetched.origin}{'//' if path else ''}{path}@{fetched.commit[:12]}"
        folder = find_folder(fetched.root, path, shown)
        manifest = read_manifest(folder, shown)
        action = ResolvedAction(reference, folder, fetched.commit, manifest, fetched.root, fetched.origin)
        return replace(_check_files(action), warnings=fetched.warnings)

    def _read_local(
        self, reference: Reference, root: Path, path: str, origin: str, commit: str
    ) -> ResolvedAction:
        folder = find_folder(root, path, str(reference))
        manifest = read_manifest(folder, str(reference).rstrip("/"))
        return ResolvedAction(reference, folder, commit, manifest, root, origin)


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A repository's files at a commit, in this job's copy."""

    root: Path
    commit: str
    origin: str
    warnings: tuple[str, ...] = ()


def _fill(template: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        template = template.replace(name, value)
    return template


def _check_files(action: ResolvedAction) -> ResolvedAction:
    """Refuse an action whose scripts are absent or lie outside its repository; GitHub finds out in mid-job."""
    runs = action.manifest.runs
    if isinstance(runs, NodeRuns | PythonRuns):
        scripts = [script for script in (runs.pre, runs.main, runs.post) if script]
    elif isinstance(runs, DockerRuns) and not runs.image.startswith("docker://"):
        scripts = [runs.image]
    else:
        scripts = []
    for script in scripts:
        file = (action.folder / script).resolve()
        if not file.is_relative_to(action.root.resolve()):
            raise RefusedError(
                f"the action runs a file outside its repository: {script!a}", where=str(action.reference)
            )
        if not file.is_file():
            raise NotFoundError(
                f"the action names a file that it doesn't have: {script!a}",
                where=str(action.reference),
                hint="is it built before it is released? The ref must hold what its action.yml names",
            )
    return action


def _lost_pin(reference: Reference, pinned: PinnedRef, error: AgentError) -> NotFoundError:
    return NotFoundError(
        f"'{reference}' is pinned to {pinned.ref}, which the repository doesn't have",
        where=error.where,
        hint="its history was rewritten, or flow.lock was edited: `agent action update` pins it anew",
    )


def _combine(errors: list[AgentError]) -> AgentError:
    """One error for all places: a ref that is missing says more than a missing repository, and that than silence."""
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
