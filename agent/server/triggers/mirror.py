"""A bare copy of a repository on the server, for its flows and its history; contents are fetched when they are read.

Real git, run as `agent.resolve` runs it: no prompts, hooks, helpers or submodules, a time limit and a limit on disk.
The copy is a cache: losing it costs a fetch. All functions block; one thread at a time works on a mirror.
"""

import contextlib
import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from agent.errors import AgentError, NotFoundError, RefusedError
from agent.flow.companions import MOST_COMPANIONS, ReadCompanions, matches
from agent.flow.folders import is_flow_file
from agent.resolve.reference import check_ref
from agent.resolve.sources.git import FETCH_SECONDS, LOOKUP_SECONDS, is_commit
from agent.resolve.sources.git_command import measure, run_git, too_big
from agent.server.triggers.outside import AllowedUrl
from agent.trees import remove_tree

MOST_PATHS = 300  # of a diff: GitHub's limit, what lies beyond it does not count
MOST_COMMITS = 1000  # of a push: GitHub's limit, a larger one passes every path filter
MOST_FLOWS = 200
LARGEST_FILE_BYTES = 1 << 20
_FILES = (b"100644", b"100755")
_PARTIAL = (
    ("remote.origin.promisor", "true"),
    ("remote.origin.partialclonefilter", "blob:none"),
    ("extensions.partialClone", "origin"),
    ("core.repositoryFormatVersion", "1"),
)


@dataclass(frozen=True, slots=True)
class MirrorFile:
    """A file of a commit."""

    path: str
    blob: str


class Mirror:
    """One repository's copy in `folder`."""

    def __init__(
        self,
        folder: Path,
        place: AllowedUrl,
        credentials: str,
        limit_bytes: int,
        *,
        is_whole: bool = False,  # with all contents: it is to be served
    ) -> None:
        self._is_whole = is_whole
        self._folder = folder
        self._place = place
        self._url = _with_credentials(place.url, credentials)
        self._limit_bytes = limit_bytes

    def find_default_branch(self) -> str:
        """The branch that the repository's HEAD names. Raises what `run_git` raises."""
        listing = self._run("ls-remote", "--symref", "--", "{url}", "HEAD", is_local=False)
        for line in listing.decode("utf-8", "replace").splitlines():
            if line.startswith("ref: refs/heads/") and line.endswith("\tHEAD"):
                return line.removeprefix("ref: refs/heads/").removesuffix("\tHEAD")
        return "main"

    def refresh(self) -> None:
        """Fetch all branches and tags. Raises RefusedError above the limit, and what `run_git` raises."""
        if not (self._folder / "HEAD").exists():
            self._make()
        self._run("config", "remote.origin.url", self._place.url)
        self._fetch("--prune", "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")

    def set_head(self, branch: str) -> None:
        """What it is cloned at where nobody says otherwise."""
        self._run("symbolic-ref", "HEAD", f"refs/heads/{branch}")

    def fetch(self, commit: str, *refs: str) -> bool:
        """Have `commit`: fetched by name, or as a part of one of `refs`. False when the repository has it no more."""
        if not is_commit(commit):
            return False
        for wanted in (commit, *refs):
            if self.has(commit):
                return True
            with contextlib.suppress(NotFoundError):
                self._fetch(wanted)
        return self.has(commit)

    def fetch_ref(self, ref: str) -> str:
        """The commit that `ref` (`refs/pull/5/merge`) is at now, fetched; "" when there is no such ref."""
        if check_ref(ref):
            return ""
        listing = self._run("ls-remote", "--", "{url}", ref, is_local=False)
        names = dict(line.split("\t")[::-1] for line in listing.decode("utf-8", "replace").splitlines())
        commit = names.get(ref, "")
        return commit if is_commit(commit) and self.fetch(commit, ref) else ""

    def peel(self, name: str) -> str:
        """The commit that the object `name` is, or that it is a tag of, fetched; "" when the repository has it no more."""
        if not is_commit(name):
            return ""
        if not self._find_commit(name):
            with contextlib.suppress(NotFoundError):
                self._fetch(name)
        return self._find_commit(name)

    def has(self, commit: str) -> bool:
        """Whether the commit is here; asks nobody else."""
        if not is_commit(commit):
            return False
        try:
            found = self._run("rev-list", "--missing=print", "--max-count=1", commit, "--")
        except AgentError:
            return False
        return found.decode().strip() == commit

    def find(self, ref: str) -> str:
        """The commit of a branch or tag by its full name, as last fetched; "" when there is none."""
        return "" if not ref.startswith("refs/") or check_ref(ref) else self._find_commit(ref)

    def find_named(self, name: str) -> str:
        """The commit that `name` is, or that the tag or branch of that name is at now, fetched; "" when there is none."""
        if is_commit(name) and (self._folder / "HEAD").exists() and self.has(name):
            return name
        self.refresh()
        if is_commit(name):
            return name if self.fetch(name) else ""
        names = [name] if name.startswith("refs/") else [f"refs/tags/{name}", f"refs/heads/{name}"]
        return next((commit for one in names if (commit := self.find(one))), "")

    def parents(self, commit: str) -> list[str]:
        """The commit's parents."""
        return self._run("rev-list", "--max-count=1", "--parents", commit, "--").decode().split()[1:]

    def message(self, commit: str) -> str:
        """The commit's message."""
        return self._run("show", "--no-patch", "--format=%B", commit, "--").decode("utf-8", "replace")

    def merge_base(self, one: str, other: str) -> str:
        """The newest commit that both come from; "" when there is none."""
        try:
            return self._run("merge-base", one, other).decode().strip()
        except AgentError:
            return ""

    def list_flows(self, commit: str, folders: Sequence[str]) -> list[MirrorFile]:
        """The flow files of a commit: those right in one of `folders`, no links."""
        there = (file for folder in folders for file in self._list_files(commit, folder.strip("/")))
        found = [file for file in there if is_flow_file(file.path) and file.path.isprintable()]
        return sorted(found, key=lambda file: file.path)[:MOST_FLOWS]

    def open_companions(self, commit: str, flow: str) -> ReadCompanions:
        """A reader of what lies beside the file `flow` in the commit, no links. Blocks, and raises as `read` does."""
        base = posixpath.dirname(flow)

        def read(patterns: Sequence[str]) -> Mapping[str, str]:
            found: dict[str, str] = {}
            for folder in dict.fromkeys(posixpath.dirname(pattern) for pattern in patterns):
                there = posixpath.normpath(posixpath.join(base, folder))
                for file in () if there.startswith("..") else self._list_files(commit, there):
                    path = posixpath.join(folder, posixpath.basename(file.path))
                    is_wanted = any(matches(path, pattern) for pattern in patterns)
                    if is_wanted and file.path != flow and len(found) < MOST_COMPANIONS:
                        found[path] = self.read(file)
            return found

        return read

    def read(self, file: MirrorFile) -> str:
        """The file's text. Raises RefusedError when it is too large or not UTF-8."""
        size = int(self._run("cat-file", "-s", file.blob))
        if size > LARGEST_FILE_BYTES:
            raise RefusedError(f"the file is over {LARGEST_FILE_BYTES} bytes", where=file.path)
        try:
            return self._run("cat-file", "blob", file.blob).decode()
        except UnicodeDecodeError:
            raise RefusedError("the file is not UTF-8 text", where=file.path) from None

    def find_file(self, commit: str, path: str) -> MirrorFile | None:
        """The file at `path` in the commit."""
        listing = self._run("ls-tree", "-z", "--full-tree", commit, "--", path)
        for line in listing.split(b"\0"):
            facts, _, name = line.partition(b"\t")
            if facts[:6] in _FILES and name.decode("utf-8", "replace") == path:
                return MirrorFile(path, facts.split()[2].decode())
        return None

    def _find_commit(self, name: str) -> str:
        try:
            return self._run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").decode().strip()
        except AgentError:
            return ""

    def _list_files(self, commit: str, folder: str) -> list[MirrorFile]:
        """The files right in a folder of a commit, by their names; no links."""
        where = [] if folder in ("", ".") else ["--", f"{folder}/"]
        listing = self._run("ls-tree", "-z", "--full-tree", commit, *where)
        lines = [line.partition(b"\t") for line in listing.split(b"\0")]
        return [
            MirrorFile(name.decode("utf-8", "replace"), facts.split()[2].decode())
            for facts, _, name in lines
            if facts[:6] in _FILES
        ]

    def list_new(self, ref: str, after: str) -> list[str]:
        """The commits of the branch `ref` at `after` that no other branch has now, newest first; at most one over the limit."""
        own = f"--exclude={ref.removeprefix('refs/heads/')}"
        return self._commits(after, "--not", own, "--branches")

    def find_deepest(self, after: str, among: Collection[str]) -> str:
        """The oldest of the commits `among` that `after` comes from by way of such alone; "" when it is none itself."""
        deepest = ""
        for commit in self._commits(after):
            if commit in among:
                deepest = commit
            elif not deepest:
                break
        return deepest

    def count_commits(self, before: str, after: str) -> int:
        """The commits of `after` that `before` does not have; at most one over the limit."""
        return len(self._commits(f"{before}..{after}"))

    def diff(self, before: str, after: str) -> tuple[str, ...]:
        """The files that differ; `before` "": all of `after`."""
        if not before:
            before = self._run("hash-object", "-t", "tree", "--stdin").decode().strip()  # the empty tree
        options = ("-r", "-z", "--name-only", "--no-renames")
        listing = self._run("diff-tree", *options, before, after, "--")
        names = [name.decode("utf-8", "replace") for name in listing.split(b"\0") if name]
        return tuple(names[:MOST_PATHS])

    def _commits(self, *revisions: str) -> list[str]:
        limit = f"--max-count={MOST_COMMITS + 1}"
        return self._run("rev-list", "--topo-order", limit, *revisions).decode().split()

    def _make(self) -> None:
        remove_tree(self._folder)
        listing = self._run("ls-remote", "--", "{url}", is_local=False)
        is_sha256 = len(listing.partition(b"\t")[0]) == 64
        kind = "--object-format=sha256" if is_sha256 else "--object-format=sha1"
        made = self._folder.with_name(f"{self._folder.name}.new")
        remove_tree(made)
        run_git(["init", "--quiet", "--bare", "--template=", kind, "--", str(made)])
        for name, value in (
            ("remote.origin.url", self._place.url),
            *(() if self._is_whole else _PARTIAL),
        ):
            run_git(["config", name, value], folder=made)
        made.replace(self._folder)

    def _fetch(self, *arguments: str) -> None:
        options = [argument for argument in arguments if argument.startswith("--")]
        names = [argument for argument in arguments if not argument.startswith("--")]
        quiet = ["--quiet", "--force", "--no-tags", "--no-recurse-submodules"]
        quiet += [] if self._is_whole else ["--filter=blob:none"]
        try:
            self._run("fetch", *quiet, *options, "--", "origin", *names, is_local=False)
        except RefusedError:
            remove_tree(self._folder)  # what is too large does not stay on disk
            raise
        if measure(self._folder) > self._limit_bytes:  # it came quicker than git was looked after
            remove_tree(self._folder)
            raise too_big(self._limit_bytes, self._place.url)

    def _run(self, *arguments: str, is_local: bool = True) -> bytes:
        is_listing = arguments[0] == "ls-remote"
        return run_git(
            [*self._place.git_options, *arguments],
            url=self._url,
            ssh_options=self._place.ssh_options,
            folder=None if is_listing else self._folder,
            seconds=LOOKUP_SECONDS if is_local or is_listing else FETCH_SECONDS,
            limit_bytes=None if is_local or is_listing else self._limit_bytes,
        )


def _with_credentials(url: str, credentials: str) -> str:
    """`credentials` are `USER:TOKEN` or a token alone; they go to git through its environment (`run_git`)."""
    parts = urlsplit(url)
    if not credentials or parts.scheme not in ("http", "https"):
        return url
    user, _, token = credentials.rpartition(":")
    userinfo = f"{quote(user or 'x-access-token', safe='')}:{quote(token, safe='')}"
    return parts._replace(netloc=f"{userinfo}@{parts.netloc}").geturl()
