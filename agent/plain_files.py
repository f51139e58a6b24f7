"""Files of ours in places where others may write too: opened as plain files, or not at all.

Whoever can write into a folder can put a FIFO, a link, a device or a folder where our file was. Opening never waits for
anybody, never follows a link, and what is no plain file is a SpoiledError that says what it is.
"""

import errno
import os
import stat
from pathlib import Path

from agent.errors import SpoiledError

_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFREG: "a file",
}
_OURS_TO_TELL = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS, errno.EIO}


def open_plain(file: Path, flags: int, mode: int = 0o600) -> int:
    """The descriptor of the plain file `file`; `flags` and `mode` are those of os.open.

    Raises FileNotFoundError, SpoiledError (its cause is the system's refusal) when it is something else or can't be opened by us,
    and OSError when the machine is to blame (its disk is full).
    """
    try:
        descriptor = os.open(file, flags | _SAFELY, mode)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _OURS_TO_TELL:
            raise
        raise _explain(file, error) from error
    try:
        check_plain(file, os.fstat(descriptor))
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_plain(file: Path, most_bytes: int) -> bytes:
    """All that is in the plain file `file`. Raises what `open_plain` does, and SpoiledError when it is over `most_bytes`."""
    with os.fdopen(open_plain(file, os.O_RDONLY), "rb") as stream:
        data = stream.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise SpoiledError(f"'{file.name}' has more than {most_bytes} bytes", where=str(file))
    return data


def check_plain(file: Path, facts: os.stat_result) -> None:
    """Raise SpoiledError when `facts`, those of `file`, are not a plain file's."""
    if not stat.S_ISREG(facts.st_mode):
        raise SpoiledError(f"'{file.name}' is {describe_kind(facts)}, not a file", where=str(file))


def describe_kind(facts: os.stat_result) -> str:
    """What a thing is, in words: "a FIFO"."""
    return _KINDS.get(stat.S_IFMT(facts.st_mode), "something else")


def _explain(file: Path, error: OSError) -> SpoiledError:
    try:
        facts = os.lstat(file)
    except OSError:
        return SpoiledError(f"'{file.name}' can't be opened: {error.strerror}", where=str(file))
    if not stat.S_ISREG(facts.st_mode):
        return SpoiledError(f"'{file.name}' is {describe_kind(facts)}, not a file", where=str(file))
    return SpoiledError(f"'{file.name}' can't be opened: {error.strerror}", where=str(file))
