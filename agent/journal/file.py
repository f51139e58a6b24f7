"""A journal on disk: one writer appends, any number of readers go on from an offset.

Offsets are bytes from the file's start and always the end of a whole frame (`agent.journal.format`). What `append`
has returned survives the death of the process; what `sync` has returned survives the loss of power.
"""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.errors import AgentError, DamagedError, SpoiledError
from agent.journal.format import Record, decode, encode, whole_length
from agent.journal.magic import MAGIC
from agent.plain_files import check_plain, open_plain

_BLOCK_BYTES = 4 << 20  # more than any one frame


class JournalWriter:
    """Appends records to the journal at `path`, which is made when it is not there.

    A journal that a killed writer left is taken up: its torn tail is cut off first, and so is what a loss of power
    damaged, which is kept in a file beside. The caller sees to it that there is
    one writer at a time (`agent.job.folder.attempt`: the lock). Raises DamagedError when the file is no journal, SpoiledError when
    something else than a file lies there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_plain(path, os.O_RDWR | os.O_CREAT)
        try:
            self._end = self._cut_torn_tail()
        except BaseException:
            os.close(self._file)
            raise

    @property
    def end(self) -> int:
        """The offset of the end of the last record."""
        return self._end

    def append(self, *records: Record) -> int:
        """Write `records` and return the offset of their end. After an AgentError (disk full) nothing of them is there."""
        self._write(b"".join(map(encode, records)))
        return self._end

    def sync(self) -> None:
        """Return once everything that was appended is on the disk itself."""
        os.fdatasync(self._file)

    def close(self) -> None:
        """Give the file back. Closing twice does no harm."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _cut_torn_tail(self) -> int:
        end = self._find_end()
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)
        self._end = end
        if end == 0:
            self._write(MAGIC)
        return self._end

    def _find_end(self) -> int:
        """Where the last good frame ends. What is damaged behind it (a loss of power) is kept in a file beside."""
        _expect_journal(os.pread(self._file, len(MAGIC), 0), self._path)
        end = 0
        while block := os.pread(self._file, _BLOCK_BYTES, end):
            start = end
            try:
                for frame_end, _record in decode(block, offset=start):
                    end = frame_end
            except DamagedError:
                self._keep_damage(end)
                return end
            whole = whole_length(block, offset=start)
            if whole == 0:
                break
            end = start + whole
        return end

    def _keep_damage(self, offset: int) -> None:
        kept = self._path.with_name(f"{self._path.name}.damaged-{offset}")
        with os.fdopen(open_plain(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            while block := os.pread(self._file, _BLOCK_BYTES, offset):
                file.write(block)
                offset += len(block)

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, memoryview(data)[written:])
        except OSError as error:
            os.ftruncate(self._file, self._end)
            os.lseek(self._file, self._end, os.SEEK_SET)
            raise _refuse_write(error, self._path) from None
        self._end += len(data)


class JournalReader:
    """Iterates over (end offset, record). When it has come to the end, iterating again goes on with what is new."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self.offset = offset

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        while data := read_from(self._path, self.offset, _BLOCK_BYTES):
            start = self.offset
            for end, record in decode(data, offset=start):
                self.offset = end
                yield end, record
            if self.offset == start:
                whole = whole_length(data, offset=start)
                if whole == 0:
                    return
                self.offset += whole  # nothing but records of kinds that this reader does not know


class JournalTail:
    """A journal that grows while it is read, in a folder where others may write too: it stays the file that it was.

    The file is held open from the first look at it (`held`). Each look raises SpoiledError when the name stands for another
    file by now, or for none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def size(self) -> int:
        """How many bytes the journal has; 0 when it is not there yet."""
        return os.fstat(self._file).st_size if self._is_there() else 0

    def read(self, offset: int, limit_bytes: int) -> bytes:
        """At most `limit_bytes` from `offset`, as they are; empty when there is no more, or no file yet."""
        return os.pread(self._file, limit_bytes, offset) if self._is_there() else b""

    def read_apart(self, offset: int, limit_bytes: int) -> Callable[[], bytes]:
        """The same for another thread, in which it is called once: it reads on even when this one lets the file go."""
        if not self._is_there():
            return bytes
        file = os.dup(self._file)

        def read() -> bytes:
            try:
                return os.pread(file, limit_bytes, offset)
            finally:
                os.close(file)

        return read

    @property
    def held(self) -> int | None:
        """The descriptor of the file as it was first seen; None when it never was."""
        return self._file if self._file >= 0 else None

    def close(self) -> None:
        """Let the file go. The next look takes what is there then."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _is_there(self) -> bool:
        if self._file < 0:
            try:
                self._file = open_plain(self._path, os.O_RDONLY)
            except FileNotFoundError:
                return False
        try:
            there = os.lstat(self._path)
        except OSError as error:
            raise SpoiledError(
                f"'{self._path.name}' can't be reached any more: {error.strerror}", where=str(self._path)
            ) from None
        check_plain(self._path, there)
        if not os.path.samestat(there, os.fstat(self._file)):
            raise SpoiledError(f"'{self._path.name}' was replaced by another file", where=str(self._path))
        return True


def read_from(path: Path, offset: int, limit_bytes: int) -> bytes:
    """At most `limit_bytes` of the journal from `offset`, as they are; empty when there is no more, or no file.

    Raises SpoiledError when something else lies there.
    """
    try:
        file = open_plain(path, os.O_RDONLY)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(file, limit_bytes, offset)
    finally:
        os.close(file)


def _expect_journal(head: bytes, path: Path) -> None:
    """A file that is shorter than the mark may be a journal whose writer died at once; anything else is not ours."""
    if not MAGIC.startswith(head):
        raise DamagedError("not a journal: it does not begin with the journal's mark", where=str(path))


def _refuse_write(error: OSError, path: Path) -> AgentError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return AgentError(
            "the disk is full",
            where=str(path),
            hint="free some space; what was written before that is there, what came after it is not",
        )
    return AgentError(f"the journal cannot be written: {error.strerror}", where=str(path))
