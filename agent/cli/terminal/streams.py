"""Standard output and errors on whatever they lead to: any encoding, a full disk, a reader that has gone, nothing at all.

What can't be written in a stream's encoding is written as something else and never stops a command; JSON keeps every
character (`agent.cli.terminal.tables.json_text`).
"""

import codecs
import contextlib
import errno
import io
import os
import sys
from typing import TextIO

_HANDLER = "agent.terminal"
# Our own marks and the commonest signs of others, where the encoding has none of them.
_STAND_INS = {
    **dict(zip("✓✗●▸│×·•–—…", ["+", "x", "*", ">", "|", "x", ".", "*", "-", "-", "..."], strict=True)),
    **dict(zip("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\|/-\\|/", strict=True)),
    **dict(zip("\u2018\u2019\u201c\u201d\u2190\u2192", ["'", "'", '"', '"', "<-", "->"], strict=True)),
}
_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def prepare_streams() -> None:
    """Let no character stop what is printed, and give a closed standard stream a place to go to."""
    _open_missing()
    codecs.register_error(_HANDLER, _stand_in)
    terminal = sys._xoptions.get("terminal")  # noqa: SLF001 - its documented name
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=terminal if isinstance(terminal, str) else None, errors=_HANDLER)


def silence_output() -> None:
    """Nobody reads on, or nothing can be written: what is still to be flushed goes nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_unwritable(error: OSError) -> bool:
    """Whether it says that the place that is written to takes no more."""
    return error.errno in _UNWRITABLE


def holds_unicode(out: TextIO) -> bool:
    """Whether every character can be written to `out`."""
    encoding = getattr(out, "encoding", None) or "utf-8"  # a StringIO has none, and takes all
    return codecs.lookup(encoding).name.startswith("utf-")


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_STAND_INS.get(character, "?") for character in text), error.end


def _open_missing() -> None:
    """A descriptor of these that is closed would become the next file that is opened: a journal, a socket."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - open as long as the process
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
