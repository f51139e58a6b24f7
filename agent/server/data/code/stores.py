"""Git's objects on this server's disk: each bundle of a project unpacked once, in a cache of bounded size.

    CODE/stores/PROJECT-HEX/    the objects of one bundle, a bare repository; its time of change is its last use
    CODE/runs/HEX/              a repository that borrows from stores: refs, and hardly a byte beside
    CODE/*/*.new                being made; what a crash leaves of these goes at the next start

What is lost here costs the time to make it again. One server has the folder; no other looks into it.
"""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.server.data.snapshots import Snapshots
from agent.server.pools import Pool
from agent.serving_git.bundle import Header, read_header
from agent.serving_git.repository import make_repository, make_store
from agent.trees import remove_tree

_RUNS_KEPT: Final = 1000
_AT_ONCE: Final = 2  # bundles that are unpacked


@dataclass(slots=True)
class _Turn:
    """Who makes a store, and how many use it."""

    lock: asyncio.Lock
    users: int = 0


class CodeStores:
    """The cache in `folder`, of `limit_bytes` at most beside what is in use."""

    def __init__(self, snapshots: Snapshots, folder: Path, files: Pool, limit_bytes: int) -> None:
        self._snapshots = snapshots
        self._stores, self._runs = folder / "stores", folder / "runs"
        self._files = files
        self._limit_bytes = limit_bytes
        self._turns: dict[str, _Turn] = {}
        self._unpacking = asyncio.Semaphore(_AT_ONCE)
        self._is_swept = False

    @asynccontextmanager
    async def use(self, project: int, bundles: Sequence[str], default_branch: str) -> AsyncIterator[Path]:
        """The repository that bundles make, each upon those before it; it stays for as long as the context lasts.

        Raises NotFoundError for a bundle that the project does not have, AgentError for one that can't be unpacked.
        """
        await self._sweep()
        names = [f"{project}-{digest.removeprefix('sha256:')}" for digest in bundles]
        turns = [self._turns.setdefault(name, _Turn(asyncio.Lock())) for name in names]
        for turn in turns:
            turn.users += 1
        try:
            for place, name in enumerate(names):
                async with turns[place].lock:
                    if not (self._stores / name).is_dir():
                        await self._bring(project, bundles[place], name, names[:place])
            yield await self._files.run(self._find_repository, names, default_branch)
        finally:
            for name, turn in zip(names, turns, strict=True):
                turn.users -= 1
                if not turn.users:
                    self._turns.pop(name, None)

    async def _bring(self, project: int, digest: str, name: str, below: Sequence[str]) -> None:
        """Fetch a bundle from where blobs lie, and unpack it. A store is there whole, or not at all."""
        async with self._unpacking:
            found = await self._snapshots.open(project, digest)
            await self._files.run(self._make_room, found.size_bytes)
            new = self._stores / f"{name}.{secrets.token_hex(4)}.new"
            try:
                await self._files.run(new.mkdir, 0o700)
                with (new / "bundle").open("wb") as out:
                    async for chunk in found.chunks:
                        await self._files.run(out.write, chunk)
                await self._files.run(_unpack, new, [self._stores / one / "objects" for one in below])
                await self._files.run(os.replace, new / "made", self._stores / name)
            finally:
                await self._files.run(remove_tree, new)

    def _find_repository(self, names: Sequence[str], default_branch: str) -> Path:
        for name in names:
            os.utime(self._stores / name)
        key = hashlib.sha256("\n".join([*names, default_branch]).encode()).hexdigest()
        place = self._runs / key
        if place.is_dir():
            os.utime(place)
            return place
        for old in _oldest(self._runs)[:-_RUNS_KEPT]:
            remove_tree(old)
        header = _read_stored_header(self._stores / names[-1])
        new = place.with_name(f"{key}.{secrets.token_hex(4)}.new")
        objects = [self._stores / name / "objects" for name in reversed(names)]
        make_repository(
            new,
            objects,
            header.refs,
            default_branch=default_branch,
            shallow=header.shallow,
            is_sha256=header.is_sha256,
        )
        try:
            new.rename(place)
        except OSError:  # another request was quicker
            remove_tree(new)
        return place

    def _make_room(self, needed: int) -> None:
        """Remove what nobody uses, the longest unused first, until as many bytes are free."""
        sizes = {store: _measure(store) for store in _oldest(self._stores) if store.suffix != ".new"}
        total = sum(sizes.values()) + needed
        for store, size in sizes.items():
            if total <= self._limit_bytes:
                return
            if store.name not in self._turns:
                remove_tree(store)
                total -= size

    async def _sweep(self) -> None:
        """Make the folders, and remove what a crash has left half made."""
        if self._is_swept:
            return
        self._is_swept = True

        def sweep() -> None:
            for folder in (self._stores, self._runs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                for left in folder.glob("*.new"):
                    remove_tree(left)

        await self._files.run(sweep)


def _unpack(new: Path, below: Sequence[Path]) -> None:
    """Make `new/made` of `new/bundle`."""
    file = new / "bundle"
    with file.open("rb") as bundle:
        header = read_header(bundle)
        start = bundle.tell()
        os.lseek(bundle.fileno(), start, os.SEEK_SET)  # git reads on from there
        make_store(new / "made", bundle, header, below)
        bundle.seek(0)
        (new / "made" / "header").write_bytes(bundle.read(start))


def _read_stored_header(store: Path) -> Header:
    with (store / "header").open("rb") as file:
        return read_header(file)


def _oldest(folder: Path) -> list[Path]:
    """What lies in the folder, the longest unused first."""
    return [entry for _, entry in sorted((entry.stat().st_mtime, entry) for entry in folder.iterdir())]


def _measure(store: Path) -> int:
    return sum(file.stat().st_size for file in (store / "objects" / "pack").glob("*"))
