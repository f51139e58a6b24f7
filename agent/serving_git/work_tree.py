"""A work tree as a commit on top of its HEAD, made beside the repository: nothing of the user's is written to.

A private copy of the index is filled as `git add --all` would, its objects go to a folder of their own that borrows the
repository's. A tree that is as HEAD has it is HEAD itself. The same tree on the same HEAD is always the same commit.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.asking_git import git_environment
from agent.errors import AgentError
from agent.serving_git.commands import run_command

_WHO: Final = "flow-agent"
_NO_HISTORY_DATE: Final = "@946684800 +0000"  # of what grew from nothing: the same tree is the same commit
_HEADS, _TAGS, _REMOTE = "refs/heads/", "refs/tags/", "refs/remotes/origin/"
_FIRST: Final = "main"
_LINK: Final = b"160000 "


@dataclass(frozen=True, slots=True)
class NestedRepository:
    """A repository within the work tree, which a commit has as the name of one of its commits and no more.

    `url` is what `.gitmodules` says, empty for one that is no submodule; `is_changed`: it has what is not committed in it.
    """

    path: str
    commit: str
    url: str
    is_changed: bool


@dataclass(frozen=True, slots=True)
class Code:
    """A run's code as a repository's commit. `objects` are the folders that have it and its history."""

    tip: str  # what the run works on
    base: str  # the commit that it grew from: `tip` itself when nothing was changed; empty without one
    refs: Mapping[str, str]  # by full name, the object
    default_branch: str
    objects: tuple[Path, ...]
    git_dir: Path  # whose settings and shallow borders hold
    shallow: tuple[str, ...] = ()  # commits whose parents are not there
    is_sha256: bool = False
    top: Path = Path()
    nested: tuple[NestedRepository, ...] = ()

    def list_doubts(self) -> list[str]:
        """What of the work tree git does not have, a sentence each."""
        return [
            f"{one.path} is a git repository of its own: a checkout by git has "
            + (
                "its commit, without what is not committed in it"
                if one.url
                else "an empty folder, for it is no submodule"
            )
            for one in self.nested
            if one.is_changed or not one.url
        ]


def commit_work_tree(
    folder: Path, place: Path, is_left_out: Callable[[str], bool] = lambda _name: False
) -> Code:
    """The code of the work tree around `folder` (or of the folder, outside of git), new objects in the empty folder `place`.

    `is_left_out` says which paths are not in it. Raises AgentError with git's words when git can't take the tree as it is.
    """
    place.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    found = _ask(folder, "rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir")
    if len(found) < 3:
        return _commit_folder(folder, place, is_left_out)
    top, own = Path(found[0]), Path(found[1])
    common = Path(os.path.normpath(folder / found[2]))
    tree = _Tree(top, own, common / "objects", place)
    base = _first(_ask(top, "rev-parse", "--verify", "--quiet", "HEAD^{commit}"))
    branch = _first(_ask(top, "symbolic-ref", "--quiet", "HEAD"))
    if (own / "index").exists():
        shutil.copy2(
            own / "index", place / "index"
        )  # with its time: by that git doubts what changed just then
    tip = tree.commit(base, is_left_out)
    refs, default = _list_refs(top, branch)
    if branch:
        refs[branch] = tip
    return Code(
        tip,
        base,
        refs,
        default,
        (tree.objects, common / "objects"),
        own,
        shallow=tuple(_read_lines(common / "shallow")),
        is_sha256=len(tip) == 64,
        top=top,
        nested=tuple(_list_nested(top, tree.list_links())),
    )


def find_storage(code: Code) -> Path | None:
    """The folder with the objects that Git LFS has in the code's clone (`lfs.storage` of git-lfs-config(5)); None outside of git."""
    if not code.top.is_absolute():
        return None
    common = code.objects[-1].parent
    storage = _first(_ask(code.top, "config", "--get", "lfs.storage"))
    return common / (storage or "lfs") / "objects"


def _commit_folder(folder: Path, place: Path, is_left_out: Callable[[str], bool]) -> Code:
    """A folder in no work tree: a first commit of all that it has."""
    made = place / "git"
    run_command(
        ["git", "init", "--quiet", "--bare", "--template=", f"--initial-branch={_FIRST}", "--", str(made)],
        git_environment(),
    )
    tree = _Tree(folder, made, None, place)
    tip = tree.commit("", is_left_out)
    return Code(tip, "", {f"{_HEADS}{_FIRST}": tip}, _FIRST, (tree.objects,), made)


@dataclass(frozen=True, slots=True)
class _Tree:
    """A work tree with an index and a folder of objects beside its own."""

    top: Path
    git_dir: Path
    borrowed: Path | None
    place: Path

    @property
    def objects(self) -> Path:
        return self.place / "objects"

    def commit(self, base: str, is_left_out: Callable[[str], bool]) -> str:
        self.objects.mkdir(exist_ok=True)
        self._git("add", "--all", "--", ".")
        listed = self._git("ls-files", "-z", "--cached").split(b"\0")
        left_out = [name for name in dict.fromkeys(listed) if name and is_left_out(os.fsdecode(name))]
        if left_out:
            self._git("update-index", "--force-remove", "-z", "--stdin", data=b"\0".join(left_out) + b"\0")
        tree = self._git("write-tree").decode().strip()
        date = _NO_HISTORY_DATE
        if base:
            if self._git("rev-parse", f"{base}^{{tree}}").decode().strip() == tree:
                return base
            seconds = self._git("show", "--no-patch", "--no-show-signature", "--format=%ct", base)
            date = f"@{seconds.decode().strip()} +0000"
        message = f"The work tree on top of {base}\n" if base else "The folder\n"
        parents = ["-p", base] if base else []
        return self._git("commit-tree", *parents, tree, data=message.encode(), date=date).decode().strip()

    def list_links(self) -> dict[str, str]:
        """The repositories within: path, and commit."""
        listed = self._git("ls-files", "-z", "--stage").split(b"\0")
        rows = [os.fsdecode(line).partition("\t") for line in listed if line.startswith(_LINK)]
        return {name: facts.split(" ")[1] for facts, _, name in rows}

    def _git(self, *arguments: str, data: bytes = b"", date: str = "") -> bytes:
        environment = {
            **git_environment(),
            "LC_ALL": "C",
            "GIT_INDEX_FILE": str(self.place / "index"),
            "GIT_OBJECT_DIRECTORY": str(self.objects),
            **({} if self.borrowed is None else {"GIT_ALTERNATE_OBJECT_DIRECTORIES": quote(self.borrowed)}),
        }
        if date:
            for role in ("AUTHOR", "COMMITTER"):
                environment |= {
                    f"GIT_{role}_NAME": _WHO,
                    f"GIT_{role}_EMAIL": f"{_WHO}@localhost",
                    f"GIT_{role}_DATE": date,
                }
        settings = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.splitIndex=false", "core.looseCompression=1",
                    "advice.addEmbeddedRepo=false", "core.safecrlf=false", "i18n.commitEncoding=utf-8",
                    "commit.gpgSign=false", "core.bare=false")  # fmt: skip
        return run_command(
            [
                *("git", "-C", str(self.top)),
                *(part for setting in settings for part in ("-c", setting)),
                *(f"--git-dir={self.git_dir}", f"--work-tree={self.top}", *arguments),
            ],
            environment,
            data,
        )


def _list_nested(top: Path, links: Mapping[str, str]) -> Iterator[NestedRepository]:
    if not links:
        return
    settings = _ask(top, "config", "--file", ".gitmodules", "--get-regexp", r"^submodule\..*\.(path|url)$")
    said = dict(line.split(" ", 1) for line in settings if " " in line)
    urls = {
        path: said.get(f"{key.removesuffix('.path')}.url", "")
        for key, path in said.items()
        if key.endswith(".path")
    }
    for path, commit in links.items():
        is_there = (top / path / ".git").exists()
        is_changed = is_there and bool(_ask(top / path, "status", "--porcelain"))
        yield NestedRepository(path, commit, urls.get(path, ""), is_changed)


def quote(folder: Path) -> str:
    """A folder as GIT_ALTERNATE_OBJECT_DIRECTORIES takes it: a colon would begin the next one."""
    text = str(folder)
    if ":" not in text and '"' not in text and "\\" not in text:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _list_refs(top: Path, branch: str) -> tuple[dict[str, str], str]:
    """The branches and tags that the run's repository has, and its default branch.

    They are those of `origin`, as last fetched, and the one that is checked out; without an `origin` all of one's own.
    """
    lines = _ask(top, "for-each-ref", "--format=%(objectname) %(refname) %(symref)", _HEADS, _TAGS, _REMOTE)
    found = {name: (oid, target) for oid, name, target in (line.split(" ", 2) for line in lines)}
    remote = {name: oid for name, (oid, target) in found.items() if name.startswith(_REMOTE) and not target}
    refs = {name: oid for name, (oid, _) in found.items() if name.startswith(_TAGS)}
    if remote:
        refs |= {_HEADS + name.removeprefix(_REMOTE): oid for name, oid in remote.items()}
    else:
        refs |= {name: oid for name, (oid, _) in found.items() if name.startswith(_HEADS)}
    default = found.get(f"{_REMOTE}HEAD", ("", ""))[1].removeprefix(_REMOTE)
    return refs, default or _guess_default(refs, branch, has_remote=bool(remote))


def _guess_default(refs: Iterable[str], branch: str, *, has_remote: bool) -> str:
    names = {name.removeprefix(_HEADS) for name in refs if name.startswith(_HEADS)}
    own = branch.removeprefix(_HEADS)
    usual = [name for name in ("main", "master") if name in names]
    return next(iter([*usual, own] if has_remote or not own else [own]), "") or _FIRST


def _ask(folder: Path, *arguments: str) -> list[str]:
    """The lines that git says of a folder; none when it says no."""
    try:
        said = run_command(["git", "-C", str(folder), *arguments], git_environment())
    except AgentError:
        return []
    return os.fsdecode(said).splitlines()


def _first(lines: list[str]) -> str:
    return lines[0] if lines else ""


def _read_lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return []
