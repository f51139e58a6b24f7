"""A tree as git lays it down: its names, and links that lead wherever they lead.

For what the run's own people have sent. Git checks out a name with a backslash or a newline, `Makefile` beside `makefile`, and a
link to `/mnt/datasets`; nothing of it is written, here either, through a link of the tree itself.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from _toolkit.step import StepError

_LONGEST_PATH = 4000  # bytes; the kernel's PATH_MAX is 4,096, and the workspace stands before it
_LONGEST_NAME = 255


class GitNames:
    """The names of a tree: each stays inside, and none is there twice."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def add(self, name: str, *, is_folder: bool) -> None:
        """Take one more. Raises StepError for one that leads out, can't be on a disk or is there already."""
        path = name.rstrip("/") if is_folder else name
        _check(path)
        segments = path.split("/")
        for count in range(1, len(segments)):
            self._add("/".join(segments[:count]), is_folder=True)
        self._add(path, is_folder=is_folder)

    def _add(self, path: str, *, is_folder: bool) -> None:
        if path in self._files or (path in self._folders and not is_folder):
            raise StepError(f"{path!a} is there twice")
        (self._folders if is_folder else self._files).add(path)


def lay_links(folder: Path, links: Iterable[tuple[Path, str]]) -> None:
    """Make the links below `folder` last, when nothing is written any more that could go through one; none goes through another."""
    links = list(links)
    root = os.path.realpath(folder)
    for path, _ in links:
        path.parent.mkdir(parents=True, exist_ok=True)
    for path, target in links:
        if not f"{os.path.realpath(path.parent)}/".startswith(
            f"{root}/"
        ):  # two names that this disk takes for one
            raise StepError(f"the link {path.name!a} would be made outside of its folder")
        path.symlink_to(target)


def _check(path: str) -> None:
    segments = path.split("/")
    reason = ""
    if not path or "\0" in path or any(segment in {"", ".", ".."} for segment in segments):
        reason = "leads out of its folder"
    elif len(os.fsencode(path)) > _LONGEST_PATH or any(
        len(os.fsencode(segment)) > _LONGEST_NAME for segment in segments
    ):
        reason = "is too long"
    if reason:
        raise StepError(f"the name {path[:100]!a} {reason}", "nothing was unpacked")
