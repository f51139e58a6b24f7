"""Archives and trees of strangers become folders: by the bundled actions' own readers, which take nothing in them on trust."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from agent.cli.client import Client
from agent.cli.transfers import Count, try_patiently
from agent.config import bundled
from agent.errors import DamagedError


def unzip_into(archive: Path, folder: Path) -> int:
    """Unpack `archive` into the new `folder`; the number of files.

    Raises DamagedError, before anything is written, when a member would lie outside, is no file, folder or link that stays
    inside, takes another's name, or when what comes out is out of proportion or does not fit on the disk.
    """
    archives, steps = load_toolkit("archive"), load_toolkit("step")
    try:
        return int(archives.unzip(archive, folder, with_links=True))
    except steps.StepError as error:
        raise DamagedError(
            f"the artifact can't be unpacked: {error}", hint="--zip leaves it as it is"
        ) from None


def bring_tree(client: Client, artifact: dict[str, Any], folder: Path, on_bytes: Count) -> int:
    """Make the new `folder` of an artifact that is stored by content; the number of files. Raises DamagedError, and what the client raises."""
    trees, steps = load_toolkit("tree_download"), load_toolkit("step")
    source = _TreeOfServer(client, int(artifact["id"]))
    try:
        return int(trees.download_tree(source, artifact["tree"], folder, on_bytes).count)
    except steps.StepError as error:
        raise DamagedError(
            f"the artifact can't be unpacked: {error}",
            where=artifact["name"],
            hint="download it again, or leave it as it is with --zip",
        ) from None


class _TreeOfServer:
    """The chunks of an artifact, as the toolkit asks for them."""

    def __init__(self, client: Client, artifact: int) -> None:
        self._client = client
        self._path = f"/api/v1/artifacts/{artifact}/tree"

    def fetch_manifest(self) -> bytes:
        return try_patiently(lambda: self._client.read_bytes(f"{self._path}/manifest"))

    def fetch_chunks(self, digests: Sequence[str]) -> bytes:
        asked = {"chunks": list(digests)}
        return try_patiently(lambda: self._client.read_bytes(f"{self._path}/chunks", asked))


def load_toolkit(module: str) -> Any:
    """A module of the bundled actions: they are no package of ours, and nothing is left in their folder."""
    toolkit = str(bundled("actions"))
    if toolkit not in sys.path:
        sys.path.append(toolkit)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        return import_module(f"_toolkit.{module}")
    finally:
        sys.dont_write_bytecode = before
