"""`agent server backup` and `restore`: one tar file of an embedded server's data, made while it runs.

    flow.db  server.json  journals/*  blobs/**  manifest.json (what the file holds, each with size and SHA-256; the last)

The rows are copied first (SQLite's own online backup), then the bytes that they name: what came later than the rows is
in the file without harm. When bytes that a row names have gone meanwhile (a log was archived, a thing deleted) all is
done again. **The keys are not in it**: without master.key no secret of the backup opens; keep that key elsewhere. The
signing key is made anew.
"""

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from agent.errors import AgentError, DamagedError, UsageError
from agent.server.data_folder import make_folders
from agent.server.store.copy import NamedBytes, copy_database, read_named

_FORMAT = 1
_ATTEMPTS = 5
_MANIFEST = "manifest.json"
_NAME = re.compile(r"flow\.db|server\.json|journals/[A-Za-z0-9_.-]+|blobs/[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Made:
    """What a backup holds. `blobs` is empty when the bytes are in it, else where they are."""

    files: int
    size_bytes: int
    blobs: str


def make_backup(data: Path, file: Path, *, blobs_url: str = "") -> Made:
    """Write the backup of the data folder to `file`, which appears when it is whole. The server may run.

    Raises AgentError; UsageError when `file` is there already.
    """
    if file.exists():
        raise UsageError("the file is there already", where=str(file), hint="give a new name")
    if not (data / "flow.db").is_file():
        raise UsageError("there is no server's data here", where=str(data))
    part = file.with_name(f"{file.name}.part")
    try:
        for _ in range(_ATTEMPTS):
            with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                made = _write(data, out, part.with_name(f"{part.name}.db"), blobs_url)
                out.flush()
                os.fsync(out.fileno())
            if made is not None:
                part.replace(file)
                return made
    finally:
        part.unlink(missing_ok=True)
    raise AgentError(
        "what the rows name goes faster than it can be copied", where=str(data), hint="try again later"
    )


def restore_backup(file: Path, data: Path) -> Made:
    """Make the data folder `data`, which must not be there or be empty, from a backup.

    Nothing is at `data` before all of it was checked. Raises UsageError, DamagedError.
    """
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise UsageError("the folder is not empty", where=str(data), hint="restore into a new one")
    fresh = data.with_name(f"{data.name}.restoring")
    shutil.rmtree(fresh, ignore_errors=True)
    make_folders(fresh)
    try:
        made = _read(file, fresh)
        if data.exists():
            data.rmdir()
        fresh.replace(data)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return made


def _write(data: Path, out: BinaryIO, copy: Path, blobs_url: str) -> Made | None:
    """None when something that the rows name is not there any more."""
    try:
        copy_database(data / "flow.db", copy)
        named = read_named(copy)
        held: dict[str, dict[str, object]] = {}
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, path in _files(data, copy, with_blobs=not blobs_url):
                if (about := _add(tar, name, path)) is not None:
                    held[name] = about
            manifest = {"version": _FORMAT, "blobs": blobs_url, "files": held}
            _add_bytes(tar, _MANIFEST, json.dumps(manifest).encode())
    finally:
        copy.unlink(missing_ok=True)
    if not _is_whole(named, held, with_blobs=not blobs_url):
        return None
    return Made(len(held), sum(int(str(about["size"])) for about in held.values()), blobs_url)


def _files(data: Path, copy: Path, *, with_blobs: bool) -> Iterator[tuple[str, Path]]:
    yield "flow.db", copy
    yield "server.json", data / "server.json"
    for folder in ("journals", *(("blobs",) if with_blobs else ())):
        for path in sorted((data / folder).rglob("*")):
            name = path.relative_to(data).as_posix()
            if _NAME.fullmatch(name) and not path.is_symlink() and path.is_file():
                yield name, path


def _is_whole(named: NamedBytes, held: dict[str, dict[str, object]], *, with_blobs: bool) -> bool:
    for name, size in named.journals.items():
        about = held.get(f"journals/{name}")
        if about is None or int(str(about["size"])) < size:
            return False
    return not with_blobs or all(f"blobs/{key}" in held for key in named.blobs)


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


def _read(file: Path, folder: Path) -> Made:
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
    return Made(len(seen), sum(int(str(one["size"])) for one in seen.values()), blobs)


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
