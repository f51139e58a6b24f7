"""Finished files: what of a job's checkpoints nobody writes to any more.

A *unit* is what is kept as a whole or not at all: a declared file, or an entry of a declared folder (a file, or a folder with all
that is in it). It is finished when nobody has a file of it open for writing, when its name does not say otherwise, and, of a folder or a large file, when it is as it was a moment ago.
"""

import hashlib
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from _toolkit.errand import check_reach
from _toolkit.plain import open_regular
from _toolkit.trees import Entry, Tree, file_entry, resolve_inside, scan_tree

SETTLE_SECONDS = 1.0
_ASIDE_BYTES = 64 << 20
_UNFINISHED = (".tmp", ".part", ".partial", ".incomplete")


@dataclass(frozen=True, slots=True)
class Units:
    """The units that lie at the declared paths, by name: the path's number, and the entry's name below it."""

    entries: Mapping[str, Sequence[Entry]] = field(default_factory=dict)

    @property
    def signatures(self) -> dict[str, str]:
        """Of each unit: changes when anything in it does, its place on the disk too."""
        return {name: _sign(entries) for name, entries in self.entries.items()}

    @property
    def tree(self) -> Tree:
        """All of them, as they are kept: the path's number stands for the path."""
        return Tree([entry for entries in self.entries.values() for entry in entries], is_file=False)

    @property
    def changed_ns(self) -> int:
        """When something in them was written last."""
        return max((entry.changed_ns for entries in self.entries.values() for entry in entries), default=0)

    def only(self, names: Collection[str]) -> "Units":
        """These of them."""
        return Units({name: entries for name, entries in self.entries.items() if name in names})


def scan_units(paths: Sequence[Mapping[str, Any]]) -> Units:
    """What lies at the declared paths now. Raises StepError for a path that leads out of the job's folder."""
    found: dict[str, Sequence[Entry]] = {}
    for number, thing in enumerate(paths):
        check_reach(thing)
        path = resolve_inside(thing["target"], thing["root"], f"'{thing['path']}'")
        try:
            found |= _scan_path(str(number), path, thing["root"])
        except FileNotFoundError:  # not there yet, or a file went while it was looked at
            continue
    return Units(found)


def find_unfinished(before: Units, now: Units, written: Collection[str]) -> set[str]:
    """The units of `now` that somebody may still write to; `before` is how it was a moment ago, `written` the files that are open for writing."""
    old = before.signatures
    return {
        name
        for name, signature in now.signatures.items()
        if old.get(name) != signature or is_named_unfinished(name) or is_among(now.entries[name], written)
    }


def find_single(units: Units, written: Collection[str]) -> set[str]:
    """The units that are one small file which nobody has open for writing: who wrote it has closed it, and is done."""
    return {
        name
        for name, (first, *others) in units.entries.items()
        if not (others or first.link or first.is_folder or is_named_unfinished(name))
        and first.size <= _ASIDE_BYTES
        and not is_among([first], written)
    }


def set_aside(units: Units, names: Collection[str], folder: Path) -> tuple[Units, Units]:
    """The units with those of these names copied into the new `folder`, and before them how each was when it was read.

    Such a file may be swapped for the next one at any moment, many times while it is sent: what was opened is one of them, whole.
    One that was changed while it was copied is left out of both.
    """
    folder.mkdir()
    seen, sent = dict(units.entries), dict(units.entries)
    for number, name in enumerate(names):
        copied = _copy_aside(units.entries[name][0], folder / str(number))
        if copied is None:
            del seen[name], sent[name]
        else:
            seen[name], sent[name] = [copied[0]], [copied[1]]
    return Units(seen), Units(sent)


def _copy_aside(entry: Entry, place: Path) -> tuple[Entry, Entry] | None:
    """The file as it was, and its copy; None where it was changed meanwhile."""
    with open_regular(entry.source) as file:
        before = os.fstat(file.fileno())
        place.write_bytes(file.read(before.st_size))
        after = os.fstat(file.fileno())
    # The inode's change moves when the file is swapped for the next one; its bytes do not.
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return None
    os.utime(place, ns=(before.st_mtime_ns, before.st_mtime_ns))
    place.chmod(before.st_mode & 0o777)
    original = file_entry(entry.name, entry.source, before)
    return original, file_entry(entry.name, place, place.stat())


def is_among(entries: Sequence[Entry], files: Collection[str]) -> bool:
    """Whether one of the files is of this unit."""
    return any(os.path.realpath(entry.source) in files for entry in entries) if files else False


def is_named_unfinished(name: str) -> bool:
    """Whether the name says that somebody is at it: it will be renamed."""
    return name.endswith(_UNFINISHED)


def list_written() -> set[str]:
    """The files that processes have open for writing, as far as they can be looked at."""
    found = set()
    for pid in os.listdir("/proc"):  # noqa: PTH208 - names alone
        if pid.isdigit() and int(pid) != os.getpid():
            found |= _list_of(f"/proc/{pid}")
    return found


def age_of(units: Units) -> float:
    """How many seconds ago something in them was written last."""
    return max(0.0, time.time() - units.changed_ns / 1e9)


def _list_of(process: str) -> set[str]:
    found = set()
    try:
        numbers = os.listdir(f"{process}/fd")  # noqa: PTH208
    except OSError:  # another user's, or gone
        return found
    for number in numbers:
        try:
            path = os.readlink(f"{process}/fd/{number}")  # noqa: PTH115
            if path.startswith("/") and _is_writing(Path(f"{process}/fdinfo/{number}")):
                found.add(path)
        except (OSError, ValueError, StopIteration):
            continue
    return found


def _is_writing(info: Path) -> bool:
    flags = next(line for line in info.read_text(encoding="ascii").splitlines() if line.startswith("flags:"))
    return int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY


def _scan_path(number: str, path: Path, root: str) -> dict[str, Sequence[Entry]]:
    tree = scan_tree(path, root)
    if tree.is_file:
        return {number: [replace(tree.entries[0], name=number)]}
    units: dict[str, list[Entry]] = {}
    for entry in tree.entries:
        top = entry.name.partition("/")[0]
        units.setdefault(f"{number}/{top}", []).append(replace(entry, name=f"{number}/{entry.name}"))
    return dict(units)


def _sign(entries: Sequence[Entry]) -> str:
    said = [
        (entry.name, entry.link, entry.size, entry.changed_ns, entry.is_executable, entry.mark)
        for entry in entries
    ]
    return hashlib.sha256(repr(said).encode("utf-8", "surrogateescape")).hexdigest()
