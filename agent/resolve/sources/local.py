"""Folders that are already here: `./path` in the workspace, and `$/path` in the repository of the line that says so."""

import os
from pathlib import Path

from agent.errors import RefusedError


def find_folder(root: Path, path: str, shown_as: str) -> Path:
    """The folder `path` below `root`, links followed; whether it exists is the manifest reader's question.

    Raises RefusedError when a link leads out of `root`.
    """
    folder = Path(os.path.realpath(root / path))
    if not folder.is_relative_to(os.path.realpath(root)):
        raise RefusedError(
            "the action's folder is a link that leads out of its repository",
            where=shown_as,
            hint="copy the action into the repository, or name its own repository in `uses:`",
        )
    return folder
