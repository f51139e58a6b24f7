"""The generation of an identity: it grows with each connection, so that a copy that was left behind says less than the server knows.

    hello (what is kept here) --> welcome (one more) --> kept on the disk --> ready (that it is kept) --> the server's

Whoever says less than the server's is a copy of how things were, or a backup: its jobs and journals are not what they seem,
and it is turned away before it says anything of them. A disk that is full keeps the last one, and that is said: no harm.
"""

import logging
from pathlib import Path

from agent.errors import SpoiledError
from agent.plain_files import read_plain
from agent.seal.files import write_private_file

_MOST_BYTES = 64

log = logging.getLogger("agent.daemon")


class Generation:
    """What is kept in `file`; 0: nothing, as for an identity that is new or whose owner says that it was moved."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def kept(self) -> int:
        """The last one. What can't be read is none: the server then takes the agent for what it says it is."""
        try:
            text = read_plain(self._file, _MOST_BYTES).decode("ascii", "replace").strip()
        except (OSError, SpoiledError):
            return 0
        return int(text) if text.isascii() and text.isdecimal() else 0

    def keep(self, number: int) -> int:
        """Keep the one that the server has said; gives it, or 0 when it could not be kept."""
        if not number:
            return 0
        try:
            write_private_file(self._file, b"%d\n" % number)
        except OSError as error:
            log.warning("this connection can't be noted in %s: %s", self._file, error.strerror)
            return 0
        return number
