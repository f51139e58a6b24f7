"""Trees that this machine holds, by the digest of the artifact that they are: what one job kept or fetched, the next one has at once.

    STORE/HEX/tree, STORE/HEX/note.json     a tree; the note has each file's size and time of change, and is written last

A tree is the one that was held when all of its files have the size and the time that its note says: its bytes are not read
again. Whoever can write here may write into any job of this agent, so that more would say nothing. When there is no more
room, those go that were used longest ago.
"""

import contextlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from _toolkit.folders import remove
from _toolkit.trees import Tree, copy_tree, scan_tree

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_NOTE = "note.json"
_TREE = "tree"
_MOST_SHARE = 0.5  # of what is free on the disk: what is held is never why a job finds none


class HeldTrees:
    """The folder of trees, which holds `limit_bytes` of them at most (0: none)."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit = limit_bytes

    def hold(self, digest: str, tree: Tree) -> None:
        """Hold a copy of the tree, if there is room. Whatever prevents it is no error: the server has it."""
        match = _DIGEST.fullmatch(digest)
        if match is None or tree.size > self._limit:
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            place = self._folder / match[1]
            if not place.exists() and self._make_room(tree.size):
                self._make(place, tree)

    def take(self, digest: str, target: Path) -> bool:
        """Make the new `target` of the tree; False when it is not held, or was changed."""
        match = _DIGEST.fullmatch(digest)
        if match is None:
            return False
        place = self._folder / match[1]
        try:
            note = json.loads((place / _NOTE).read_text(encoding="utf-8"))
            tree = scan_tree(place / _TREE, str(place))
            if _describe(tree) != note:
                remove(place)
                return False
            copy_tree(tree, target)
            os.utime(place / _NOTE)
        except (OSError, ValueError):  # it is being removed just now, or somebody else's: the server has it
            _discard(target)
            return False
        return True

    def _make(self, place: Path, tree: Tree) -> None:
        making = Path(tempfile.mkdtemp(prefix=".making-", dir=self._folder))
        try:
            copy_tree(tree, making / _TREE)
            held = scan_tree(making / _TREE, str(making))
            (making / _NOTE).write_text(json.dumps(_describe(held)), encoding="utf-8")
            with contextlib.suppress(FileExistsError):  # another job was quicker
                making.rename(place)
        finally:
            _discard(making)

    def _make_room(self, needed: int) -> bool:
        """Let those go that were used longest ago until there is room; False when there can't be."""
        held = [(place.stat().st_mtime, place.parent) for place in self._folder.glob(f"*/{_NOTE}")]
        sizes = {place: _size_of(place) for _, place in held}
        used = sum(sizes.values())
        for _, place in sorted(held):
            if used + needed <= self._limit:
                break
            remove(place)
            used -= sizes[place]
        return used + needed <= self._limit and needed < _MOST_SHARE * shutil.disk_usage(self._folder).free


def _describe(tree: Tree) -> list[list[Any]]:
    """What is noted of a tree."""
    return [
        [entry.name, entry.link, entry.size, 0 if entry.link else entry.changed_ns] for entry in tree.entries
    ]


def _size_of(place: Path) -> int:
    try:
        note = json.loads((place / _NOTE).read_text(encoding="utf-8"))
        return sum(int(entry[2]) for entry in note)
    except (OSError, ValueError, TypeError, IndexError):
        return 0


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            remove(path)
        else:
            path.unlink(missing_ok=True)
