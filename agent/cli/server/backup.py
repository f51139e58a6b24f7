"""`agent server backup` and `restore`: how far they are, and what to do next."""

import sys
import time
from pathlib import Path

_WIDTH = 78


def back_up(data: Path, file: Path, *, blobs_url: str, database_url: str) -> int:
    """Write a backup to `file`. Raises AgentError."""
    from agent.server.backup import make_backup

    made = make_backup(data, file, blobs_url=blobs_url, database_url=database_url, tell=_show)
    _show("")
    sys.stderr.write(
        f"{made.files} files, {made.size_bytes} bytes; keep master.key elsewhere: it is not in it\n"
    )
    if made.blobs:
        sys.stderr.write("the blobs are not in it: back up --blobs-url by its own means, after this\n")
    return 0


def restore(file: Path, data: Path, *, database_url: str, replaces: bool) -> int:
    """Make the data folder, and what is in the database, from a backup. Raises AgentError."""
    from agent.server.backup import restore_backup

    made = restore_backup(
        file, data, database_url=database_url, replaces=replaces, now=time.time(), tell=_show
    )
    _show("")
    sys.stderr.write(f"{made.files} files, {made.size_bytes} bytes; now put master.key into {data}\n")
    if made.blobs:
        sys.stderr.write(f"the blobs were not in it: they are where AGENT_BLOBS_URL was {made.blobs}\n")
    return 0


def _show(what: str) -> None:
    """On a terminal a line that says what is being copied."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{what[:_WIDTH]:{_WIDTH}}\r{what[:_WIDTH]}")
        sys.stderr.flush()
