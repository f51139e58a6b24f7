"""Links of an unpacked archive or tree, none of which leads out."""

import os
from collections.abc import Sequence
from pathlib import Path

from _toolkit.step import StepError


def make_links(folder: Path, links: Sequence[tuple[Path, str]]) -> None:
    """Make the links last, when nothing is written any more that could go through one."""
    root = folder.resolve()
    for path, target in links:
        path.parent.mkdir(parents=True, exist_ok=True)
        if target.startswith("/"):
            raise StepError(f"the link {path.name!a} leads out of its folder")
        path.symlink_to(target)
    for path, _ in links:
        if not Path(os.path.realpath(path)).is_relative_to(root):
            raise StepError(f"the link {path.name!a} leads out of its folder")
