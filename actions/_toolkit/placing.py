"""What has come, moved to its place over files of the same name."""

import os
from pathlib import Path

from _toolkit.folders import keep_belongings, move_into
from _toolkit.step import StepError
from _toolkit.step import workspace as find_workspace
from _toolkit.trees import protect_tree


def put(new: Path, target: Path, *, is_read_only: bool) -> None:
    """Move what has come to its place, over files of the same name. Whoever may not write to a folder can't move it: that comes last."""
    if new.is_dir():
        is_new = not target.exists()
        names = os.listdir(new)  # noqa: PTH208
        keep_belongings(new, target, find_workspace())
        move_into(new, target)
        if is_read_only:
            for path in [target] if is_new else [target / name for name in names]:
                protect_tree(path)
        return
    if target.is_dir() and not target.is_symlink():
        raise StepError(f"'{target}' is in the way: it is a folder")
    holder = new.with_name("holder")
    holder.mkdir()
    new.rename(holder / target.name)
    keep_belongings(holder, target.parent, find_workspace())
    move_into(holder, target.parent)
    if is_read_only:
        protect_tree(target)
