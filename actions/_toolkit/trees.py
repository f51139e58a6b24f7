"""Trees: what lies below one path, file by file, and copies of it that cost as little as the file system allows.

Kept are files with whether they may be run, empty folders, and links that stay in the tree. A link to elsewhere in the
workspace is followed; one that leads out of it, and what is neither file, folder nor link, is left out with a warning.
"""

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from _toolkit.plain import open_regular
from _toolkit.step import StepError, warn

_CLONE = 0x40049409  # FICLONE of linux/fs.h: both files share their blocks until one of them is written to
_COPY_BYTES = 1 << 30  # of one call of the kernel's
_CHUNK_BYTES = 1 << 20
_LARGE_BYTES = 4 << 20
_AT_A_TIME = 4
_NO_CLONE = (
    errno.EOPNOTSUPP,
    errno.ENOTTY,
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOSYS,
    errno.EPERM,
    errno.ETXTBSY,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, an empty folder (`name` ends in `/`) or a link (`link` is where it leads), named from the tree's top."""

    name: str
    source: Path
    link: str = ""
    size: int = 0
    changed_ns: int = 0
    mode: int = 0o644  # its permission bits
    mark: tuple[int, int, int] = (
        0,
        0,
        0,
    )  # device, inode, time of the inode's change: a changed file has others

    @property
    def is_executable(self) -> bool:
        """Whether it may be run."""
        return bool(self.mode & 0o100)

    @property
    def is_folder(self) -> bool:
        """Whether it is an empty folder."""
        return self.name.endswith("/")


@dataclass(frozen=True, slots=True)
class Tree:
    """What is kept of one path. `is_file`: the path is a file, and the only entry has its name."""

    entries: Sequence[Entry]
    is_file: bool

    @property
    def size(self) -> int:
        """The bytes of its files."""
        return sum(entry.size for entry in self.entries)

    @property
    def signature(self) -> str:
        """Changes when anything in the tree does."""
        said = [
            (entry.name, entry.link, entry.size, entry.changed_ns, entry.is_executable)
            for entry in self.entries
        ]
        return hashlib.sha256(repr(said).encode("utf-8", "surrogateescape")).hexdigest()

    def describe(self) -> str:
        """How much it is, for people."""
        files = sum(not entry.is_folder for entry in self.entries)
        return f"{files} {'file' if files == 1 else 'files'}"


def resolve_inside(text: str, root: str, what: str) -> Path:
    """The path that `text` means: below the folder `root`, or (`root` empty) wherever the job's own user may go.

    Raises StepError when `..` or a link leads out of `root`; `what` is how the message calls the path.
    """
    if not root:
        return Path(os.path.normpath(os.path.expanduser(text)))  # noqa: PTH111 - Path's raises where there is no home
    top = Path(os.path.realpath(root))
    path = Path(os.path.normpath(top / text))
    if not path.is_relative_to(top) or not Path(os.path.realpath(path)).is_relative_to(top):
        raise StepError(
            f"{what} leads out of the folder of the job", "name a path inside, or an absolute one"
        )
    return path


def scan_tree(path: Path, root: str, *, keeps_links: bool = True) -> Tree:
    """All that is to be kept of `path`; without `keeps_links` each is what it leads to.

    Raises FileNotFoundError, and StepError for what is no file or folder.
    """
    walk = _Walk(Path(os.path.realpath(path)), Path(os.path.realpath(root or path)), keeps_links=keeps_links)
    real = Path(os.path.realpath(path))
    facts = real.stat()
    if stat.S_ISREG(facts.st_mode):
        return Tree([file_entry(path.name, real, facts)], is_file=True)
    if not stat.S_ISDIR(facts.st_mode):
        raise StepError(f"'{path}' is neither file nor folder")
    return Tree(list(walk.folder(real, "", (real,))), is_file=False)


def copy_tree(tree: Tree, target: Path) -> None:
    """Make `target`, which is not there: a file or a folder with all that the tree has."""
    if tree.is_file:
        copy_file(tree.entries[0], target)
        return
    target.mkdir()
    made = {""}
    large: list[tuple[Entry, Path]] = []
    for entry in tree.entries:
        place = target / entry.name
        parent = entry.name.rstrip("/").rpartition("/")[0]
        if parent not in made:
            place.parent.mkdir(parents=True, exist_ok=True)
            made.add(parent)
        if entry.is_folder:
            place.mkdir()
        elif entry.link:
            place.symlink_to(entry.link)
        elif entry.size >= _LARGE_BYTES:
            large.append((entry, place))
        else:
            copy_file(entry, place)
    _copy_large(large)


def copy_file(entry: Entry, target: Path) -> None:
    """Copy one file to the new file `target`, with the time of its last change: by sharing blocks, or in the kernel."""
    with open_regular(entry.source) as source:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(target, flags, entry.mode)
        with os.fdopen(handle, "wb") as new:
            if not _clone(source, new):
                _copy_bytes(source, new)
            new.flush()
            os.utime(handle, ns=(entry.changed_ns, entry.changed_ns))


def _copy_large(files: list[tuple[Entry, Path]]) -> None:
    """Some at a time: a copy in the kernel keeps one core busy."""
    if len(files) < 2:
        for entry, place in files:
            copy_file(entry, place)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for copying in [pool.submit(copy_file, entry, place) for entry, place in files]:
            copying.result()


def protect_tree(path: Path) -> None:
    """Take the right to write from all that is there: files, and folders so that nothing is added to them."""
    for folder, _folders, files in os.walk(path, topdown=False):
        for name in files:
            _drop_write(Path(folder, name))
        _drop_write(Path(folder))
    if not path.is_dir():
        _drop_write(path)


def _drop_write(path: Path) -> None:
    if not path.is_symlink():
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)


@dataclass(frozen=True, slots=True)
class _Walk:
    """A walk through the tree below `top`; what lies in `inside` is the job's. `above` are the folders that it is in."""

    top: Path
    inside: Path
    keeps_links: bool

    def folder(self, folder: Path, prefix: str, above: tuple[Path, ...]) -> Iterator[Entry]:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        if not entries and prefix:
            yield Entry(prefix, folder, mode=folder.stat().st_mode & 0o777)
        for entry in entries:
            name, path = prefix + entry.name, Path(entry.path)
            if entry.is_symlink():
                yield from self.link(path, name, above)
            else:
                yield from self.take(path, name, above)

    def take(self, path: Path, name: str, above: tuple[Path, ...]) -> Iterator[Entry]:
        facts = path.lstat()
        if stat.S_ISREG(facts.st_mode):
            yield file_entry(name, path, facts)
        elif stat.S_ISDIR(facts.st_mode):
            yield from self.folder(path, f"{name}/", (*above, path))
        else:
            warn(f"'{path}' is neither file, folder nor link: left out")

    def link(self, path: Path, name: str, above: tuple[Path, ...]) -> Iterator[Entry]:
        """A link that stays in the tree is one; of another what it leads to, where that is the job's."""
        real = Path(os.path.realpath(path))
        if self.keeps_links and real.is_relative_to(self.top) and path.is_relative_to(self.top):
            leads_to = os.path.relpath(real, path.parent)
            yield Entry(name, path, link=leads_to, changed_ns=path.lstat().st_mtime_ns)
        elif not real.is_relative_to(self.inside):
            warn(f"'{path}' is a link that leads out of the folder of the job: left out")
        elif not real.exists():
            warn(f"'{path}' is a link to nothing: left out")
        elif real in above or any(each.is_relative_to(real) for each in above):
            warn(f"'{path}' is a link to a folder around it: left out")
        else:
            yield from self.take(real, name, (*above, real))


def file_entry(name: str, path: Path, facts: os.stat_result) -> Entry:
    """The regular file `path`, as `name`."""
    return Entry(
        name,
        path,
        size=facts.st_size,
        changed_ns=facts.st_mtime_ns,
        mode=facts.st_mode & 0o777,
        mark=(facts.st_dev, facts.st_ino, facts.st_ctime_ns),
    )


def _clone(source: IO[bytes], new: IO[bytes]) -> bool:
    try:
        fcntl.ioctl(new.fileno(), _CLONE, source.fileno())
    except OSError as error:
        if error.errno not in _NO_CLONE:
            raise
        return False
    return True


def _copy_bytes(source: IO[bytes], new: IO[bytes]) -> None:
    try:
        while os.copy_file_range(source.fileno(), new.fileno(), _COPY_BYTES):
            pass
    except OSError as error:
        if error.errno not in _NO_CLONE:
            raise
        while chunk := os.read(source.fileno(), _CHUNK_BYTES):
            new.write(chunk)
