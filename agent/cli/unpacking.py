"""Zip archives of strangers become folders: by the bundled actions' own reader, which takes nothing in them on trust."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from agent.config import bundled
from agent.errors import DamagedError


def unzip_into(archive: Path, folder: Path) -> int:
    """Unpack `archive` into the new `folder`; the number of files.

    Raises DamagedError, before anything is written, when a member would lie outside, is no file, folder or link that stays
    inside, takes another's name, or when what comes out is out of proportion or does not fit on the disk.
    """
    archives, steps = load_toolkit("archive"), load_toolkit("step")
    try:
        return int(archives.unzip(archive, folder, with_links=True))
    except steps.StepError as error:
        raise DamagedError(
            f"the artifact can't be unpacked: {error}", hint="--zip leaves it as it is"
        ) from None


def load_toolkit(module: str) -> Any:
    """A module of the bundled actions: they are no package of ours, and nothing is left in their folder."""
    toolkit = str(bundled("actions"))
    if toolkit not in sys.path:
        sys.path.append(toolkit)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        return import_module(f"_toolkit.{module}")
    finally:
        sys.dont_write_bytecode = before
