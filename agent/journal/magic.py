"""The mark at a journal's beginning, and how much of a journal there is: all that can be told without reading one."""

import os
from pathlib import Path

from agent.errors import SpoiledError
from agent.plain_files import check_plain

MAGIC = b"FLOWJNL1"


def size(path: Path) -> int:
    """How many bytes the journal has; 0 when it is not there yet. Raises SpoiledError when it is no file."""
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise SpoiledError(f"'{path.name}' can't be reached: {error.strerror}", where=str(path)) from None
    check_plain(path, facts)
    return facts.st_size
