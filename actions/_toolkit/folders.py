"""New files are made beside their place and moved there when all are whole."""

import contextlib
import filecmp
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from _toolkit.step import StepError

_MOST_NAMED = 5


@contextlib.contextmanager
def temporary_folder(near: Path) -> Iterator[Path]:
    """A folder on the file system that `near` is or will be on; gone at the end."""
    parent = near
    while not parent.is_dir():
        parent = parent.parent
    folder = Path(tempfile.mkdtemp(prefix=".flow-agent-", dir=parent))
    try:
        yield folder
    finally:
        remove(folder)


def move_into(source: Path, target: Path) -> None:
    """Move all that is in `source` into the folder `target`, over files of the same name, through no link."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise StepError(f"'{target}' is in the way: it is not a folder")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        return
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        place = target / entry.name
        if entry.is_dir(follow_symlinks=False) and os.path.lexists(place):
            move_into(Path(entry.path), place)
        elif place.is_dir() and not place.is_symlink():
            raise StepError(f"'{place}' is in the way: it is a folder")
        else:
            Path(entry.path).replace(place)


def keep_belongings(source: Path, target: Path, workspace: Path) -> None:
    """Look whether all that is in `source` can be moved into `target`: the user's own folder is worked in, perhaps (`--in-place`).

    What is there already, just so, is left out of `source`. Raises StepError for what the job says that only this folder has.
    """
    file = os.environ.get("FLOW_BELONGINGS")
    if not file:
        return
    belongings = set(json.loads(Path(file).read_text(encoding="utf-8")))
    in_the_way = []
    for folder, folders, files in os.walk(source):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for new in [Path(folder, name) for name in (*files, *links)]:
            place = target / new.relative_to(source)
            name = Path(
                os.path.relpath(
                    os.path.realpath(place.parent) + "/" + place.name, os.path.realpath(workspace)
                )
            )
            if not os.path.lexists(place) or belongings.isdisjoint(map(str, (name, *name.parents))):
                continue
            if _is_same(new, place):
                new.unlink()
            else:
                in_the_way.append(str(name))
    if in_the_way:
        more = f" and {len(in_the_way) - _MOST_NAMED} more" if len(in_the_way) > _MOST_NAMED else ""
        raise StepError(
            f"what only this folder has would be overwritten: {', '.join(sorted(in_the_way)[:_MOST_NAMED])}{more}",
            "give another `path:`, move them away, or leave out --in-place to work in a copy",
        )


def _is_same(one: Path, other: Path) -> bool:
    return (
        not (one.is_symlink() or other.is_symlink())
        and other.is_file()
        and filecmp.cmp(one, other, shallow=False)
    )


def empty(folder: Path, keep: Path) -> None:
    """Remove all that is in `folder` but `keep`."""
    for entry in os.scandir(folder):
        if Path(entry.path) == keep:
            continue
        if entry.is_dir(follow_symlinks=False):
            remove(Path(entry.path))
        else:
            os.unlink(entry.path)  # noqa: PTH108  (an entry's path is text)


def remove(folder: Path) -> None:
    """Python's own removal recurses, and a job may nest a thousand folders."""
    done = subprocess.run(
        ["rm", "-rf", "--", str(folder)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise StepError(f"'{folder}' can't be removed: {done.stderr.strip().splitlines()[-1]}")
