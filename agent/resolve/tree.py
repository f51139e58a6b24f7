"""The files of a commit: out of a bare repository into a folder, and proof that a folder still holds them.

Written by us rather than checked out: no hook, filter, attribute or submodule of the repository has a say, and each
name, kind and size is looked at before a byte is written. The proof needs no record of ours that could be changed
along with the files: a commit's name is the hash of the commit, which names the hash of its tree, which is the hash
of all names, modes and contents.
"""

import hashlib
import os
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from agent.errors import AgentError, DamagedError, RefusedError
from agent.resolve.sources.git_command import git_environment, run_git, too_big

MOST_FILES = 200_000
DEEPEST = 100  # folders inside each other
_CHUNK_BYTES = 1024**2

_FILES = {"100644": 0o444, "100755": 0o555}  # git's mode: ours, read-only
_FOLDER = "40000"
_LINK = "120000"
_SUBMODULE = "160000"


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One entry of a commit's tree: a file, a link or a submodule."""

    mode: str
    object: str
    size: int
    path: str  # from the root, with `/`; bytes that are not UTF-8 as surrogates


Submodules = Mapping[str, str]  # path -> commit: what the files alone don't tell about their tree


def write_tree(repository: Path, commit: str, folder: Path, *, limit_bytes: int, where: str) -> Submodules:
    """Write the files of `commit` into the new `folder`, read-only; submodules become empty folders, and links say what they say.

    Nothing is written through a link; who reads an action looks where its links lead. Raises RefusedError when the repository
    holds a name that leads out of the folder or more than `limit_bytes`.
    """
    entries = list(_list_entries(repository, commit))
    if sum(entry.size for entry in entries) > limit_bytes or len(entries) > MOST_FILES:
        raise too_big(limit_bytes, where)
    for entry in entries:
        _check_name(entry, where)
    folder.mkdir()
    submodules: dict[str, str] = {}
    links: list[tuple[TreeEntry, str]] = []
    with _Objects(repository) as objects:
        for entry in entries:
            target = folder / entry.path
            if entry.mode == _SUBMODULE:
                target.mkdir(parents=True)
                submodules[entry.path] = entry.object
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if entry.mode == _LINK:
                links.append((entry, os.fsdecode(b"".join(objects.read(entry)))))
                continue
            _write_file(target, objects.read(entry), _FILES[entry.mode])
    _make_links(folder, links, where)
    return submodules


def read_commit(repository: Path, commit: str) -> bytes:
    """The commit's own bytes: what `check_tree` starts from."""
    return run_git(["cat-file", "commit", commit], folder=repository)


def check_tree(folder: Path, commit: str, commit_bytes: bytes, submodules: Submodules) -> None:
    """Raises DamagedError unless `folder` holds exactly the files of `commit`."""
    algorithm = "sha256" if len(commit) == 64 else "sha1"
    if _hash(algorithm, "commit", commit_bytes).hex() != commit:
        raise DamagedError("the stored commit is not what was fetched", where=str(folder))
    tree = commit_bytes.partition(b"\n")[0].removeprefix(b"tree ").decode()
    try:
        found = _hash_folder(folder, algorithm, submodules).hex()
    except OSError as error:
        raise DamagedError(f"the stored files can't be read: {error.strerror}", where=str(folder)) from None
    if found != tree:
        raise DamagedError("the stored files are not those that were fetched", where=str(folder))


def _list_entries(repository: Path, commit: str) -> Iterator[TreeEntry]:
    listing = run_git(["ls-tree", "-r", "-z", "--long", "--full-tree", commit], folder=repository)
    for line in listing.split(b"\0"):
        if line:
            facts, _, path = line.partition(b"\t")
            mode, _, name, size = facts.decode().split()
            yield TreeEntry(mode, name, 0 if size == "-" else int(size), os.fsdecode(path))


def _check_name(entry: TreeEntry, where: str) -> None:
    segments = entry.path.split("/")
    if any(segment in {"", ".", ".."} or segment.lower() == ".git" for segment in segments):
        raise RefusedError(f"the repository holds a file named {entry.path!a}", where=where)
    if len(segments) > DEEPEST:
        raise RefusedError(f"the repository has more than {DEEPEST} folders inside each other", where=where)
    if entry.mode not in {*_FILES, _LINK, _SUBMODULE}:
        raise RefusedError(f"{entry.path!a} is neither file, link nor folder", where=where)
    if entry.mode == _LINK and entry.size > 4096:
        raise RefusedError(f"the link {entry.path!a} is too long", where=where)


def _write_file(path: Path, chunks: Iterator[bytes], mode: int) -> None:
    # O_EXCL: a tree that names a file twice, or a file as a folder, fails here.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "wb") as file:
        file.writelines(chunks)


def _make_links(folder: Path, links: list[tuple[TreeEntry, str]], where: str) -> None:
    """Make the links last, when nothing is written any more that could go through one."""
    for entry, target in links:
        if not target or "\0" in target:
            raise RefusedError(f"the link {entry.path!a} is none that a disk can hold", where=where)
        (folder / entry.path).symlink_to(target)


class _Objects:
    """`git cat-file --batch`: the contents of objects, one after the other."""

    def __init__(self, repository: Path) -> None:
        self._process = subprocess.Popen(
            ["git", f"--git-dir={repository.absolute()}", "cat-file", "--batch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=git_environment(),
            cwd="/",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def read(self, entry: TreeEntry) -> Iterator[bytes]:
        """The contents of `entry`, in chunks."""
        asked, answered = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answered is not None
        asked.write(f"{entry.object}\n".encode())
        asked.flush()
        header = answered.readline().split()
        if len(header) != 3 or int(header[2]) != entry.size:
            raise AgentError(f"git has no object for {entry.path!a}")
        left = entry.size
        while left:
            chunk = answered.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise AgentError("git ended in the middle of a file")
            left -= len(chunk)
            yield chunk
        answered.read(1)  # the line's end behind the contents


def _hash(algorithm: str, kind: str, content: bytes) -> bytes:
    return hashlib.new(algorithm, b"%s %d\0%s" % (kind.encode(), len(content), content)).digest()


def _hash_folder(folder: Path, algorithm: str, submodules: Submodules, prefix: str = "") -> bytes:
    """The hash of the git tree that `folder` is."""
    rows: list[tuple[bytes, bytes]] = []
    for entry in os.scandir(folder):
        path = prefix + entry.name
        name = os.fsencode(entry.name)
        if entry.is_symlink():
            mode, digest = _LINK, _hash(algorithm, "blob", os.fsencode(os.readlink(entry.path)))  # noqa: PTH115
        elif not entry.is_dir():
            mode, digest = _hash_file(entry, algorithm)
        elif path in submodules and not os.listdir(entry.path):  # noqa: PTH208
            mode, digest = _SUBMODULE, bytes.fromhex(submodules[path])
        else:
            mode, digest = _FOLDER, _hash_folder(Path(entry.path), algorithm, submodules, f"{path}/")
        # Git sorts a folder as if its name ended with a slash.
        rows.append((name + b"/" if mode == _FOLDER else name, b"%s %s\0%s" % (mode.encode(), name, digest)))
    return _hash(algorithm, "tree", b"".join(row for _, row in sorted(rows)))


def _hash_file(entry: os.DirEntry[str], algorithm: str) -> tuple[str, bytes]:
    handle = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise DamagedError("a stored file is no file any more", where=entry.path)
        digest = hashlib.new(algorithm, b"blob %d\0" % facts.st_size)
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return "100755" if facts.st_mode & 0o100 else "100644", digest.digest()
