"""The resolver: from a reference to a folder with an action in it.

A repository's places (`actions_urls`) are tried in order. What a branch or tag is, is asked each time, once a job: a
moved tag is followed. Where nobody answers, the commit that it last was is used, and a warning says so. A full commit
is never asked for again once it is here; so is a ref that is pinned to one. The machine's policy is asked first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from agent.errors import AgentError, NotFoundError, RefusedError, UnreachableError
from agent.redaction import redact
from agent.resolve.fetching import Fetched, Fetcher, combine
from agent.resolve.lfs import read_pointer
from agent.resolve.manifests import read_action, read_manifest
from agent.resolve.manifests.model import ActionManifest, DockerRuns, NodeRuns, PythonRuns, ScriptRuns
from agent.resolve.pins import PinnedRef, Pins
from agent.resolve.places import list_places, name_place
from agent.resolve.policy import EVERYTHING, Policy
from agent.resolve.reference import (
    ImageReference,
    Reference,
    RepositoryReference,
    SelfReference,
    UrlReference,
    WorkspaceReference,
)
from agent.resolve.sources import git
from agent.resolve.sources.bundled import find_bundled
from agent.resolve.sources.local import find_folder
from agent.resolve.store import ActionStore
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


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    """A text file of a repository."""

    text: str
    commit: str
    origin: str  # the repository's URL without credentials
    warnings: tuple[str, ...] = ()


class Resolver:
    """Resolves for one job. Safe to use from several threads.

    `workspace` is the job's; `copies` is where this job's own copies of fetched actions go, a folder that no other job
    uses: an action may write into its folder, and must not reach the next job so. `source` is where the run's code
    comes from: `$/path` in a flow means that. `pins` holds refs to commits, `policy` forbids. `fetcher` is who fetches, where
    that is somebody else.
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
        fetcher: Fetcher | None = None,
    ) -> None:
        self._fetcher = fetcher or Fetcher(store, copies, limit_bytes)
        self._templates = tuple(actions_urls)
        self._workspace = workspace
        self._source = source or Source()
        self._pins = pins or Pins()
        self._policy = policy

    def resolve(self, reference: Reference, within: ResolvedAction | None = None) -> ResolvedAction:
        """The action that `reference` names. `within` is the composite action whose step says so, if it is one's.

        Raises NotFoundError (no such repository, ref, path or manifest), UnreachableError, RefusedError (it would do
        harm), InvalidActionError.
        """
        match reference:
            case WorkspaceReference(path):
                return self._read_workspace(reference, path, within)
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
                    return self._resolve_fetched(reference, list_places(self._templates, reference))
                self._policy.check_bundled(reference)
                manifest = read_manifest(folder, str(reference))
                return _check_files(ResolvedAction(reference, folder, "", manifest, folder.parent, BUNDLED))

    def read_file(self, reference: RepositoryReference | UrlReference) -> RepositoryFile:
        """The file that the reference's path names: a flow that another one calls.

        Raises what `resolve` raises, and NotFoundError for a path that is no text file of the repository.
        """
        urls = (
            (reference.url,)
            if isinstance(reference, UrlReference)
            else list_places(self._templates, reference)
        )
        fetched, warnings = self._fetch(reference, urls)
        file = (fetched.root / reference.path).resolve()
        if not reference.path or not file.is_relative_to(fetched.root.resolve()) or not file.is_file():
            raise NotFoundError("the repository has no such file", where=str(reference))
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise NotFoundError("the file is not UTF-8 text", where=str(reference)) from None
        return RepositoryFile(text, fetched.commit, fetched.origin, (*fetched.warnings, *warnings))

    def look_up(self, reference: RepositoryReference | UrlReference) -> tuple[str, str]:
        """The commit that `reference` is now, and the URL that says so (without credentials); pins are not heeded.

        Raises what `resolve` raises for a repository or ref that can't be found.
        """
        urls = (
            (reference.url,)
            if isinstance(reference, UrlReference)
            else list_places(self._templates, reference)
        )
        errors: list[AgentError] = []
        for url in urls:
            try:
                commit = git.find_ref(url, reference.ref).commit
            except (NotFoundError, UnreachableError) as error:
                errors.append(error)
                continue
            if commit:
                return commit, redact(url)
            admit = partial(self._admit, reference, reference.ref)
            fetched = self._fetcher.fetch(
                (url,), reference.ref, admit
            )  # the beginning of a commit: only a fetch tells
            return fetched.commit, fetched.origin
        raise combine(errors)

    def _resolve_fetched(
        self, reference: RepositoryReference | UrlReference, urls: tuple[str, ...]
    ) -> ResolvedAction:
        fetched, warnings = self._fetch(reference, urls)
        action = self._read_fetched(reference, fetched, reference.path)
        return replace(action, warnings=(*action.warnings, *warnings))

    def _fetch(
        self, reference: RepositoryReference | UrlReference, urls: tuple[str, ...]
    ) -> tuple[Fetched, tuple[str, ...]]:
        """The repository's files at the ref, or at the commit that it is pinned to, as far as the policy lets it be."""
        self._policy.check_pin(reference, self._pins)
        pinned = self._pins.settle(reference)
        urls = self._policy.choose_places(reference, urls, pinned.ref)
        try:
            return self._fetcher.fetch(
                urls, pinned.ref, partial(self._admit, reference, pinned.ref)
            ), pinned.warnings
        except git.UnknownRefError as error:
            raise error if pinned.ref == reference.ref else _lost_pin(reference, pinned, error) from None

    def _admit(self, reference: RepositoryReference | UrlReference, ref: str, place: str) -> None:
        """Raises RefusedError when nothing may come from `place`, to which `reference` has moved: as if that were written."""
        self._policy.choose_places(name_place(self._templates, place, reference), (place,), ref)

    def _resolve_own(self, reference: SelfReference, path: str) -> ResolvedAction:
        """`$/path` in a flow: the run's own repository at the run's commit, checked out or not."""
        if self._source.kind is not SourceKind.GIT:
            return self._read_local(reference, self._workspace, path, WORKSPACE, "")
        own = UrlReference(self._source.url, "", self._source.commit or self._source.ref)
        fetched = self._fetcher.fetch((own.url,), own.ref, partial(self._admit, own, own.ref))
        return self._read_fetched(reference, fetched, path)

    def _read_fetched(self, reference: Reference, fetched: Fetched, path: str) -> ResolvedAction:
        shown = f"{fetched.origin}{'//' if path else ''}{path}@{fetched.commit[:12]}"
        folder, manifest = read_action(find_folder(fetched.root, path, shown), shown, fetched.root)
        return _check_files(
            ResolvedAction(
                reference, folder, fetched.commit, manifest, fetched.root, fetched.origin, fetched.warnings
            )
        )

    def _read_workspace(
        self, reference: Reference, path: str, within: ResolvedAction | None
    ) -> ResolvedAction:
        try:
            return self._read_local(reference, self._workspace, path, WORKSPACE, "")
        except NotFoundError as error:
            if within is None or within.origin == WORKSPACE:
                raise
            hint = f"in an action, './' is the workspace of whoever uses it; its own repository's folder is '$/{path}'"
            raise NotFoundError(error.what, where=str(within.reference), hint=hint) from None

    def _read_local(
        self, reference: Reference, root: Path, path: str, origin: str, commit: str
    ) -> ResolvedAction:
        within = None if origin == WORKSPACE else root
        place = find_folder(root, path, str(reference))
        folder, manifest = read_action(place, str(reference).rstrip("/"), within)
        return ResolvedAction(reference, folder, commit, manifest, root, origin)


def _check_files(action: ResolvedAction) -> ResolvedAction:
    """Refuse an action whose scripts are absent or lie outside its repository; GitHub finds out in mid-job."""
    runs = action.manifest.runs
    if isinstance(runs, NodeRuns | PythonRuns):
        scripts = [script for script in (runs.pre, runs.main, runs.post) if script]
    elif isinstance(runs, ScriptRuns):
        scripts = [runs.main]
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
        if read_pointer(file) is not None:
            raise NotFoundError(
                f"{script!a} of the action is kept in Git LFS, and is only a pointer here",
                where=str(action.reference),
                hint="; ".join(action.warnings)
                or "git-lfs brings it, where it is installed and the host has it",
            )
    return action


def _lost_pin(reference: Reference, pinned: PinnedRef, error: AgentError) -> NotFoundError:
    return NotFoundError(
        f"'{reference}' is pinned to {pinned.ref}, which the repository doesn't have",
        where=error.where,
        hint="its history was rewritten, or flow.lock was edited: `agent action update` pins it anew",
    )
