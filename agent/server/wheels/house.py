"""DATA/wheelhouse: wheels of the packages that agents need, put there by the operator for machines without an index."""

import re
from pathlib import Path

from agent.errors import NotFoundError

_NAME = re.compile(r"[A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+(-[A-Za-z0-9_.]+){3,4}\.whl")


def list_wheels(folder: Path) -> list[str]:
    """The names of the wheels in it, in order; none when there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if _NAME.fullmatch(entry.name) and entry.is_file())


def find_wheel(folder: Path, name: str) -> Path:
    """One of them. Raises NotFoundError."""
    file = folder / name
    if not _NAME.fullmatch(name) or not file.is_file():
        raise NotFoundError(f"there is no wheel '{name[:200]}' here", hint="GET /install/wheels/ lists them")
    return file
