"""Files that hold a secret: written whole or not at all, never readable to others, not even for an instant."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from agent.errors import DamagedError, NotFoundError, RefusedError

_MOST_BYTES = 64 * 1024  # a key file is a few hundred bytes; whatever is larger is something else


def make_private_folder(folder: Path) -> None:
    """`folder` as one (0700) that only we can look into; the folders above it are made as usual.

    Raises RefusedError when it exists already and others can.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    check_private_folder(folder)


def check_private_folder(folder: Path) -> None:
    """Raise RefusedError when somebody else can look into `folder`, NotFoundError when there is none."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        raise NotFoundError("there is no such folder", where=str(folder)) from None
    if not stat.S_ISDIR(status.st_mode):
        raise RefusedError("a folder for keys is no folder", where=str(folder), hint="remove what is there")
    _refuse_others(status, 0o077, folder, "0700")


def write_private_file(file: Path, content: bytes, *, replace: bool = True) -> bool:
    """Write `content` to `file` (0600) in one step that survives a power cut; readers see the old file or the new.

    With `replace` off an existing file is kept, and False is returned: of two who create, one wins. Raises OSError that names
    `file`.
    """
    try:
        return _write(file, content, replace=replace)
    except OSError as error:
        error.filename = str(file)  # a write says none, and a temporary name tells nobody anything
        raise


def _write(file: Path, content: bytes, *, replace: bool) -> bool:
    descriptor, name = tempfile.mkstemp(
        dir=file.parent, prefix=f".{file.name}."
    )  # 0600 by itself, whatever the umask
    temporary = Path(name)
    try:
        with open(descriptor, "wb") as out:  # noqa: PTH123 - a descriptor, not a path
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        if replace:
            temporary.replace(file)
        elif not _link_if_absent(temporary, file):
            return False
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(file.parent)
    return True


def read_private_file(file: Path, *, forbidden: int, advice: str, follow_link: bool = False) -> bytes:
    """The content of `file`, when nobody has rights on it that are in `forbidden` (such as 0o077).

    `advice` is the mode to recommend. Raises NotFoundError, RefusedError when it is open to others, is somebody
    else's or (without `follow_link`) is a link, DamagedError when it is no plain file or far too large.
    """
    links = 0 if follow_link else os.O_NOFOLLOW
    try:
        descriptor = os.open(file, os.O_RDONLY | links | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFoundError("there is no such file", where=str(file)) from None
    except OSError as error:
        raise RefusedError(
            f"a file with a key cannot be opened: {error.strerror}", where=str(file)
        ) from error
    with open(descriptor, "rb") as source:  # noqa: PTH123 - a descriptor, not a path
        status = os.fstat(source.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise DamagedError("a file that should hold a key is something else", where=str(file))
        _refuse_others(status, forbidden, file, advice)
        return source.read()


def _refuse_others(status: os.stat_result, forbidden: int, place: Path, advice: str) -> None:
    if status.st_mode & forbidden:
        rights = f"{stat.S_IMODE(status.st_mode):04o}"
        raise RefusedError(
            f"others have rights on a place for keys (mode {rights})",
            where=str(place),
            hint=f"run `chmod {advice} {place}`, and make new keys if somebody may have read them",
        )
    # Whoever owns a file can change it. Root may use anybody's, and what root made is to be trusted.
    if status.st_uid not in {os.geteuid(), 0} and os.geteuid() != 0:
        raise RefusedError(
            "a place for keys belongs to somebody else", where=str(place), hint="run as its owner"
        )


def _link_if_absent(temporary: Path, file: Path) -> bool:
    try:
        file.hardlink_to(temporary)
    except FileExistsError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
