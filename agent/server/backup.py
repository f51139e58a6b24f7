"""`agent server backup` and `restore`: one tar file of a server's data, made while it runs, for either store.

    flow.db  server.json  journals/*  blobs/**  manifest.json (what the file holds, each with size and SHA-256; the last)

The rows are copied first (SQLite's own online backup; from PostgreSQL as of one moment, into a file like SQLite's, with
the journals beside it), then the bytes that they name: what came later than the rows is in the file without harm. When
bytes that a row names have gone meanwhile (a log was archived, a thing deleted) all is done again. The file is the same
for both, so a backup of one store restores into the other. **The keys are not in it**: without master.key no secret of
the backup opens; keep that key elsewhere. An embedded server's signing key is made anew.
"""

import asyncio
import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from agent.errors import AgentError, DamagedError, UsageError
from agent.server.data.journals.files import FileJournals
from agent.server.process.data_folder import make_folders, write_server_id
from agent.server.store.copy import NamedBytes, copy_database, make_embedded, make_plain, read_named
from agent.server.store.migrate import migrate
from agent.server.store.transfer import Tell, export_store, import_store, list_applied
from agent.trees import remove_tree

_FORMAT = 1
_ATTEMPTS = 5
_MANIFEST = "manifest.json"
_NAME = re.compile(r"flow\.db|server\.json|journals/[A-Za-z0-9_.-]+|blobs/[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_CHUNK_BYTES = 1 << 20


def _say_nothing(_what: str) -> None:
    """Nobody wants to hear how far it is."""


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """What a backup holds. `blobs` is empty when the bytes are in it, else where they are."""

    files: int
    size_bytes: int
    blobs: str


def make_backup(
    data: Path, file: Path, *, blobs_url: str = "", database_url: str = "", tell: Tell = _say_nothing
) -> BackupSummary:
    """Write the backup of the data folder to `file`, which appears when it is whole. The server may run.

    With `database_url` rows and journals are PostgreSQL's, of one moment, and the folder is that which has the blobs.
    Raises AgentError; UsageError when `file` is there already.
    """
    if file.exists():
        raise UsageError("the file is there already", where=str(file), hint="give a new name")
    if not database_url and not (data / "flow.db").is_file():
        raise UsageError("there is no server's data here", where=str(data))
    part = file.with_name(f"{file.name}.part")
    staging = file.with_name(f"{file.name}.staging")
    try:
        for _ in range(_ATTEMPTS):
            remove_tree(staging)
            make_folders(staging)
            staged = _stage(data, staging, database_url, tell)
            with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                made, missing = _write(staged, out, blobs_url, tell)
                out.flush()
                os.fsync(out.fileno())
            if not missing:
                part.replace(file)
                return made
    finally:
        part.unlink(missing_ok=True)
        remove_tree(staging)
    raise AgentError(
        "bytes that the rows name are not there, or go faster than they can be copied",
        where=missing,
        hint="--data names the folder that has the blobs, or AGENT_BLOBS_URL their place; else try again later",
    )


def restore_backup(
    file: Path,
    data: Path,
    *,
    database_url: str = "",
    replaces: bool = False,
    now: float = 0.0,
    tell: Tell = _say_nothing,
) -> BackupSummary:
    """Make the data folder `data`, which must not be there or be empty, from a backup of either store.

    With `database_url` its rows and journals go there; `replaces`: also when it is not empty. Nothing is at `data` or
    there before all of it was checked. Raises UsageError, DamagedError, RefusedError when a server works on the database.
    """
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise UsageError("the folder is not empty", where=str(data), hint="restore into a new one")
    fresh = data.with_name(f"{data.name}.restoring")
    remove_tree(fresh)
    make_folders(fresh)
    try:
        made = _read(file, fresh, tell)
        if database_url:
            asyncio.run(_move_in(fresh, database_url, tell, now=now, replaces=replaces))
            for left in (*fresh.glob("flow.db*"), *(fresh / "journals").iterdir()):
                left.unlink()
        else:
            make_embedded(fresh / "flow.db")
        if data.exists():
            data.rmdir()
        fresh.replace(data)
    finally:
        remove_tree(fresh)
    return made


async def _move_in(fresh: Path, url: str, tell: Tell, *, now: float, replaces: bool) -> None:
    """Bring what is unpacked into PostgreSQL; the blobs and the server's identity stay in the folder."""
    file = fresh / "flow.db"
    await migrate(file)
    journals = FileJournals(fresh / "journals")
    for (job, lease), applied in (await list_applied(file)).items():
        await journals.cut_tail(job, lease, applied)  # torn, when it was copied while it was written
    await import_store(file, fresh / "journals", url, tell, now=now, replaces=replaces)


@dataclass(frozen=True, slots=True)
class _Staged:
    """Where the parts of a backup are: the database's copy, identity and journals, blobs."""

    database: Path
    root: Path
    blobs: Path


def _stage(data: Path, staging: Path, database_url: str, tell: Tell) -> _Staged:
    copy = staging / "flow.db"
    if not database_url:
        copy_database(data / "flow.db", copy, lambda done, of: tell(f"rows: {done * 100 // max(of, 1)}%"))
        return _Staged(copy, data, data / "blobs")
    copy.touch(mode=0o600)
    server = asyncio.run(export_store(database_url, copy, staging / "journals", tell))
    make_plain(copy)
    write_server_id(staging / "server.json", server)
    return _Staged(copy, staging, data / "blobs")


def _write(staged: _Staged, out: BinaryIO, blobs_url: str, tell: Tell) -> tuple[BackupSummary, str]:
    """What was written, and the name of something that the rows name and that is not there (any more)."""
    named = read_named(staged.database)
    held: dict[str, dict[str, object]] = {}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, path in _files(staged, with_blobs=not blobs_url):
            tell(name)
            if (about := _add(tar, name, path)) is not None:
                held[name] = about
        manifest = {"version": _FORMAT, "blobs": blobs_url, "files": held}
        _add_bytes(tar, _MANIFEST, json.dumps(manifest).encode())
    size = sum(int(str(about["size"])) for about in held.values())
    return BackupSummary(len(held), size, blobs_url), _find_missing(named, held, with_blobs=not blobs_url)


def _files(staged: _Staged, *, with_blobs: bool) -> Iterator[tuple[str, Path]]:
    yield "flow.db", staged.database
    yield "server.json", staged.root / "server.json"
    for folder in (staged.root / "journals", *((staged.blobs,) if with_blobs else ())):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder.parent).as_posix()
            if _NAME.fullmatch(name) and not path.is_symlink() and path.is_file():
                yield name, path


def _find_missing(named: NamedBytes, held: dict[str, dict[str, object]], *, with_blobs: bool) -> str:
    for name, size in named.journals.items():
        about = held.get(f"journals/{name}")
        if about is None or int(str(about["size"])) < size:
            return f"journals/{name}"
    blobs = sorted(named.blobs) if with_blobs else ()
    return next((f"blobs/{key}" for key in blobs if f"blobs/{key}" not in held), "")


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self.hash.update(data)
        return data


def _add(tar: tarfile.TarFile, name: str, path: Path) -> dict[str, object] | None:
    """Add a file as long as it is now; None when it has gone meanwhile."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            hashed = _Hashed(file)
            tar.addfile(_entry(name, size), hashed)
    except FileNotFoundError:
        return None
    return {"size": size, "sha256": hashed.hash.hexdigest()}


def _add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    tar.addfile(_entry(name, len(data)), io.BytesIO(data))


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry


def _read(file: Path, folder: Path, tell: Tell) -> BackupSummary:
    """Unpack what is named as ours is, plain files only, and hold all of it against the manifest at the end."""
    seen: dict[str, dict[str, object]] = {}
    manifest: bytes | None = None
    try:
        with tarfile.open(file, mode="r|") as tar:
            for entry in tar:
                content = tar.extractfile(entry) if entry.isreg() else None
                if content is None or manifest is not None or entry.name in seen:
                    raise DamagedError("this is no backup of ours", where=entry.name[:80])
                if entry.name == _MANIFEST:
                    manifest = content.read()
                elif _NAME.fullmatch(entry.name):
                    tell(entry.name)
                    seen[entry.name] = _unpack(content, folder / entry.name)
                else:
                    raise DamagedError("this is no backup of ours", where=entry.name[:80])
        about = json.loads(manifest or b"")
        if about["version"] != _FORMAT:
            raise DamagedError("another version has made this backup", where=str(file))
        if about["files"] != seen:
            raise DamagedError("the backup does not hold what it says", where=str(file))
        blobs = str(about["blobs"])
    except FileNotFoundError:
        raise UsageError("there is no such file", where=str(file)) from None
    except (tarfile.TarError, ValueError, KeyError, TypeError, EOFError) as error:
        raise DamagedError(f"the backup can't be read: {error}", where=str(file)) from None
    return BackupSummary(len(seen), sum(int(str(one["size"])) for one in seen.values()), blobs)


def _unpack(content: IO[bytes], path: Path) -> dict[str, object]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        while data := content.read(_CHUNK_BYTES):
            digest.update(data)
            size += out.write(data)
        out.flush()
        os.fsync(out.fileno())
    return {"size": size, "sha256": digest.hexdigest()}
