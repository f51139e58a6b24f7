"""Last words of a supervisor that can't write its journal any more: whoever buries its job has nothing else to tell of."""

import contextlib
import fcntl
import os

from agent.errors import AgentError
from agent.job.folder.attempt import ROOM_FOR_LAST_WORDS, JobFolder
from agent.plain_files import open_plain

_CRASH_LOG = 2  # where the supervisor's standard error leads, once it has left home


def leave_word(folder: JobFolder, text: str) -> None:
    """Say `text` at the end of the crash log; on a full disk its last line, as far as it fits, in the room that is kept for it there."""
    with contextlib.suppress(OSError, AgentError):
        handle = _open(folder)
        data = text.strip().encode("utf-8", "backslashreplace")
        try:
            os.lseek(handle, 0, os.SEEK_END)
            rest = b"\n" + data + b"\n"
            while rest:
                rest = rest[os.write(handle, rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, len(ROOM_FOR_LAST_WORDS))  # a part of it may have found room
            os.pwrite(handle, data.splitlines()[-1][: len(ROOM_FOR_LAST_WORDS) - 1], 0)


def _open(folder: JobFolder) -> int:
    """The crash log, to be written in any place. Who has become the job's user may not open it, but has it open."""
    try:
        return open_plain(folder.crash_log, os.O_WRONLY)
    except (OSError, AgentError):
        fcntl.fcntl(_CRASH_LOG, fcntl.F_SETFL, fcntl.fcntl(_CRASH_LOG, fcntl.F_GETFL) & ~os.O_APPEND)
        return _CRASH_LOG
