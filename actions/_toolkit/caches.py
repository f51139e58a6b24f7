"""Caches of trees: kept under a key over what was there, brought if anything was. By the server's cache service, or in a folder.

On the server a key is written once in its scope: each cache has a name of its own behind the key, and the newest is found.
"""

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any, Protocol

from _toolkit.archive import Sink, unpack_tree, write_tree
from _toolkit.folders import remove
from _toolkit.step import StepError, human
from _toolkit.trees import Tree, copy_tree, scan_tree

_VERSION = hashlib.sha256(b"a tree, zipped, 1").hexdigest()
_MARK = "#"  # between the key and what is this cache's own


class CacheShelf(Protocol):
    """Where caches are."""

    def save(self, key: str, tree: Tree) -> str:
        """Keep the tree under the key; gives what there is to say."""
        ...

    def restore(self, key: str, target: Path) -> str:
        """Make the new `target` of what is kept under the key; gives what there is to say, empty: nothing is."""
        ...


def open_caches() -> CacheShelf:
    """The caches that this step may use."""
    url, token = os.environ.get("ACTIONS_RESULTS_URL", ""), os.environ.get("ACTIONS_RUNTIME_TOKEN", "")
    if url:
        from _toolkit.results import CacheService

        return ServerCaches(CacheService(url, token))
    folder = os.environ.get("FLOW_CACHES", "")
    if folder:
        return LocalCaches(Path(folder))
    raise StepError("there is nowhere to keep caches: neither ACTIONS_RESULTS_URL nor FLOW_CACHES is set")


class LocalCaches:
    """The folder of this user's local runs: `DIGEST/tree` and `DIGEST/key`, the digest being the key's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, key: str, tree: Tree) -> str:
        """See CacheShelf."""
        self._folder.mkdir(parents=True, exist_ok=True)
        place = self._place(key)
        making = self._folder / f".making-{secrets.token_hex(8)}"
        making.mkdir()
        try:
            copy_tree(tree, making / "tree")
            (making / "key").write_text(json.dumps({"key": key}), encoding="utf-8")
            former = self._folder / f".old-{secrets.token_hex(8)}"
            if place.exists():
                place.rename(former)
            making.rename(place)
            remove(former)
        finally:
            remove(making)
        return f"{tree.describe()}, {human(tree.size)}"

    def restore(self, key: str, target: Path) -> str:
        """See CacheShelf."""
        place = self._place(key)
        try:
            tree = scan_tree(place / "tree", str(place))
            copy_tree(tree, target)
        except FileNotFoundError:
            return ""
        return f"{tree.describe()}, {human(tree.size)}"

    def _place(self, key: str) -> Path:
        return self._folder / hashlib.sha256(key.encode()).hexdigest()[:32]


class ServerCaches:
    """The server's cache service, which lets a run write in its own scope alone."""

    def __init__(self, service: Any) -> None:
        self._service = service

    def save(self, key: str, tree: Tree) -> str:
        """See CacheShelf."""

        def write(sink: Sink) -> None:
            write_tree(sink, tree.entries)

        own = f"{_plain(key)}{_MARK}{'f' if tree.is_file else 'd'}{secrets.token_hex(8)}"
        refusal = self._service.save(own, _VERSION, write)
        if refusal:
            return f"not kept: {refusal}"
        return f"{tree.describe()}, {human(tree.size)}"

    def restore(self, key: str, target: Path) -> str:
        """See CacheShelf."""
        prefix = f"{_plain(key)}{_MARK}"
        found = self._service.find(f"{prefix}none", [prefix], _VERSION)
        if found is None:
            return ""
        matched, url = found
        archive = target.with_name(f"{target.name}.zip")
        self._service.download(url, archive)
        return unpack_tree(archive, target, is_file=matched.startswith(f"{prefix}f"))


def _plain(key: str) -> str:
    """The key as the service takes it: no comma, no mark of ours, not too long."""
    plain = "".join(each if each.isprintable() and each not in f",{_MARK}" else "-" for each in key)
    if plain == key and len(key) <= 400:
        return key
    return f"{plain[:400]}~{hashlib.sha256(key.encode()).hexdigest()[:16]}"
