"""Files of an action that Git LFS keeps: what stands in the repository is a pointer, the contents lie at the host.

A pointer names its contents by their SHA-256, and is itself part of the commit; so contents need to be believed no more than
files do: they are checked as they are put in the pointer's place. Which pointers are meant, `.gitattributes` says, as for
git: one without its attribute is a file like any other.

Contents are no condition. GitHub hands actions out with their pointers, and most that use LFS do so for pictures: what can't be had
stays a pointer, and a warning names it. (A script that is one is refused: `agent.resolve.resolver`.)

Source: the Git LFS specification, docs/spec.md of git-lfs.
"""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.errors import AgentError, DamagedError
from agent.redaction import redact
from agent.resolve.sources.git import FETCH_SECONDS
from agent.resolve.sources.git_command import run_git, too_big
from agent.trees import walk_tree

LONGEST = 1024  # bytes: a longer file is no pointer

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize (\d{1,18})\n"
)
_CHUNK_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class Pointer:
    """What stands for contents."""

    oid: str  # their SHA-256
    size_bytes: int
    text: bytes


# Puts the contents of pointers into a folder of its own, each under its oid. Raises AgentError when it can't have them all.
Bring = Callable[[Sequence[Pointer], Path], None]


def read_pointer(file: Path) -> Pointer | None:
    """The pointer that `file` is; None for any other file, and for a link."""
    if file.is_symlink() or not file.is_file() or file.stat().st_size > LONGEST:
        return None
    text = file.read_bytes()
    found = _POINTER.fullmatch(text)
    return Pointer(found[1].decode(), int(found[2]), text) if found else None


def find_pointers(repository: Path, commit: str, files: Path) -> tuple[str, ...]:
    """The paths in `files`, which are those of `commit`, of pointers that stand for contents."""
    if not any(b"filter=lfs" in each.read_bytes() for each in _list(files, ".gitattributes")):
        return ()
    paths = [str(file.relative_to(files)) for file in _list(files, "") if read_pointer(file)]
    run_git(["read-tree", commit], folder=repository)  # where `check-attr` finds the attributes
    asked = b"".join(os.fsencode(path) + b"\0" for path in paths)
    options = ["-c", "core.attributesFile=/dev/null", "check-attr", "--cached", "--stdin", "-z", "filter"]
    said = run_git(options, folder=repository, data=asked).split(b"\0")
    return tuple(
        os.fsdecode(path) for path, value in zip(said[::3], said[2::3], strict=False) if value == b"lfs"
    )


def put_contents(files: Path, paths: Iterable[str], contents: Path, bring: Bring) -> str:
    """Put contents in the place of the pointers at `paths` in `files`; gives a warning when some can't be had.

    `contents` keeps them, each under its oid; what it lacks, `bring` gets. Raises DamagedError for kept contents that are not
    those of their pointer.
    """
    pointers = {path: _expect_pointer(files, path) for path in paths}
    missing = {pointer.oid: pointer for pointer in pointers.values() if not _has(contents, pointer)}
    why = _try(bring, list(missing.values()), contents) if missing else ""
    left = [path for path, pointer in pointers.items() if not _has(contents, pointer)]
    for path, pointer in pointers.items():
        if path not in left:
            _put(contents / pointer.oid, files / path, pointer)
    return _describe(left, why) if left else ""


def fetch_contents(url: str, pointers: Sequence[Pointer], folder: Path, *, limit_bytes: int) -> None:
    """Fetch the contents of `pointers` from the LFS server of the repository at `url` into `folder`.

    What did come is there when others are missing. Raises what `run_git` raises, and RefusedError for more than `limit_bytes`.
    """
    if sum(pointer.size_bytes for pointer in pointers) > limit_bytes:
        raise too_big(limit_bytes, redact(url))
    _require_lfs()
    # A repository of our own with nothing but the pointers: no `.lfsconfig` of theirs leads git-lfs elsewhere.
    bare = folder / "repository"
    run_git(["init", "--quiet", "--bare", "--template=", "--", str(bare)])
    run_git(["fast-import", "--quiet"], folder=bare, data=_commit_of(pointers))
    try:
        run_git(["lfs", "fetch", "{url}", "main"], url=url, folder=bare, seconds=FETCH_SECONDS)
    finally:
        for pointer in pointers:
            found = bare / "lfs" / "objects" / pointer.oid[:2] / pointer.oid[2:4] / pointer.oid
            with contextlib.suppress(FileNotFoundError):
                _take(found, folder / pointer.oid)


def _take(found: Path, target: Path) -> None:
    """Give `found` the name `target`; a copy, where git-lfs has linked it to the file of a repository on this machine."""
    if found.stat().st_nlink == 1:
        found.rename(target)
    else:
        shutil.copyfile(found, target)


def _list(files: Path, name: str) -> Iterable[Path]:
    """The files (no links) below `files`; those called `name`, if it is given."""
    for _file, below, entries in walk_tree(files):
        for entry in entries:
            is_wanted = not name or entry.name == name
            if is_wanted and not entry.is_symlink() and not entry.is_dir(follow_symlinks=False):
                yield files / below / entry.name


def _expect_pointer(files: Path, path: str) -> Pointer:
    file = files / path
    pointer = read_pointer(file)
    if pointer is None or not file.resolve().is_relative_to(files.resolve()):
        raise DamagedError("the stored facts about large files are not those of the commit", where=str(file))
    return pointer


def _has(contents: Path, pointer: Pointer) -> bool:
    return (contents / pointer.oid).is_file()


def _try(bring: Bring, missing: Sequence[Pointer], contents: Path) -> str:
    """Why `bring` could not get everything; "" when it could."""
    try:
        bring(missing, contents)
    except AgentError as error:
        return error.what if not error.hint else f"{error.what} ({error.hint})"
    except OSError as error:  # a full disk, or a store that belongs to another user
        return str(error.strerror)
    return ""


def _put(source: Path, target: Path, pointer: Pointer) -> None:
    mode = target.stat().st_mode
    target.unlink()
    digest = hashlib.sha256()
    with source.open("rb") as kept, target.open("xb") as file:
        while chunk := kept.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    target.chmod(mode & 0o777)
    if digest.hexdigest() != pointer.oid:
        raise DamagedError(
            "the stored contents of a large file are not those that were fetched", where=str(source)
        )


def _describe(left: Sequence[str], why: str) -> str:
    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
    return f"{left[0]!a}{more} of this action is kept in Git LFS and stays a pointer: {why or 'the host does not have it'}"


def _require_lfs() -> None:
    try:
        run_git(["lfs", "version"])
    except AgentError:
        hint = "install the package git-lfs (Debian: apt-get install git-lfs)"
        raise AgentError("git-lfs is not installed on this machine", hint=hint) from None


def _commit_of(pointers: Sequence[Pointer]) -> bytes:
    """A commit on `main` that holds the pointers, as `git fast-import` reads it."""
    lines = [b"commit refs/heads/main\ncommitter flow-agent <> 0 +0000\ndata 0\n"]
    for number, pointer in enumerate(pointers):
        lines.append(b"M 100644 inline %d\ndata %d\n%s\n" % (number, len(pointer.text), pointer.text))
    return b"".join(lines)
