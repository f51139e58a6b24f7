"""The snapshot of a folder on its way to the server: a large one is asked about first, and how far it has come is shown."""

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TextIO

from agent.cli.client import Client
from agent.cli.flow.source import SnapshotFile, list_snapshot, write_snapshot
from agent.cli.terminal.progress import Progress, size_text
from agent.cli.terminal.tables import plain
from agent.cli.transfers import send_file, try_patiently
from agent.errors import AgentError

_SHOWN = 5
_LEAST_SHARE = 0.01  # of all, to be named
_MOST_OF_IT = 0.8  # of a folder's bytes: then the part is what is large


@dataclass(frozen=True, slots=True)
class Care:
    """What a snapshot leaves out, and from how many bytes of files on it is asked about. `limit_bytes` None: never."""

    excluded: tuple[str, ...] = ()
    limit_bytes: int | None = None
    shows: bool = True  # how far it has come


def read_care(excluded: Sequence[str], *, shows: bool, is_sure: bool) -> Care:
    """As the command line and the settings have it; `is_sure`: a large one is not asked about. Raises UsageError."""
    from agent.config import load_settings, read_size

    settings = load_settings()
    limit = None if is_sure else read_size(settings["snapshot_limit"], settings.origins["snapshot_limit"])
    return Care(tuple(excluded), limit, shows=shows)


def send_snapshot(client: Client, folder: Path, care: Care) -> str:
    """Pack the work tree around `folder` and upload it unless the server has it; its digest.

    Raises AgentError, before anything is sent, when somebody at a terminal says no to a large one.
    """
    top, files = list_snapshot(folder, care.excluded)
    total = sum(file.size_bytes for file in files)
    if care.limit_bytes is not None and total >= care.limit_bytes:
        _ask(describe_large(top, files), sys.stdin, sys.stderr)
    with tempfile.TemporaryDirectory(prefix="flow-snapshot-") as temporary:
        archive = Path(temporary) / "snapshot.tar.gz"
        with Progress("pack", total, sys.stderr, time.monotonic, shown=care.shows) as progress:
            digest = write_snapshot(top, files, archive, progress.add)
        path = client.in_project(f"/api/v1/snapshots/{digest}")
        if not client.has(path):
            size = archive.stat().st_size
            with Progress("send", size, sys.stderr, time.monotonic, shown=care.shows) as progress:
                try_patiently(lambda: send_file(client, path, archive, progress.add))
    return digest


def describe_large(top: Path, files: Sequence[SnapshotFile]) -> str:
    """What is large in a snapshot, the largest first: files, and folders that hold more than any of their parts."""
    total = sum(file.size_bytes for file in files)
    largest = ", ".join(f"{plain(name)} {size_text(size)}" for name, size in find_largest(files))
    return (
        f"the snapshot of {plain(str(top))} has {len(files)} files, {size_text(total)}; the largest: {largest}; "
        "leave things out by .gitignore (what git tracks also by `git rm --cached`) or --exclude NAME"
    )


def find_largest(files: Sequence[SnapshotFile]) -> list[tuple[str, int]]:
    """The files and folders (`data/`) with most bytes, the largest first. Of a folder that is large by one of its parts
    that part is named.
    """
    sizes, parts = _sum_up(files)
    left = set(parts[""])
    found: list[tuple[str, int]] = []
    while left and len(found) < _SHOWN:
        largest = max(left, key=lambda name: (sizes[name], name))
        left.remove(largest)
        inside = parts.get(largest, set())
        if sizes[largest] < _LEAST_SHARE * sizes[""]:
            break
        if inside and max(sizes[name] for name in inside) >= _MOST_OF_IT * sizes[largest]:
            left |= inside
        else:
            found.append((largest, sizes[largest]))
    return found


def _sum_up(files: Sequence[SnapshotFile]) -> tuple[Counter[str], dict[str, set[str]]]:
    """The bytes of each file and folder, and what is in each folder; the top is called "" and other folders end in `/`."""
    sizes: Counter[str] = Counter()
    parts: dict[str, set[str]] = {"": set()}
    for file in files:
        child = file.name
        sizes[child] += file.size_bytes
        for parent in PurePosixPath(file.name).parents:
            name = f"{parent}/" if parent.name else ""
            sizes[name] += file.size_bytes
            parts.setdefault(name, set()).add(child)
            child = name
    return sizes, parts


def _ask(what: str, answers: TextIO, out: TextIO) -> None:
    """Whether to send it; where nobody can answer it is said, and sent: a script that has run before goes on running."""
    if not (answers.isatty() and out.isatty()):
        out.write(f"agent: warning: {what}\n")
        return
    out.write(f"{what}\nsend it? (--yes does without this question) [y/N] ")
    out.flush()
    if answers.readline().strip().lower() not in ("y", "yes"):
        raise AgentError("nothing was sent", hint="--yes sends it, --source none sends no files")
