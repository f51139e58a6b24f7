"""A snapshot as a git repository on its way to the server: its history once, and what is not committed on top of it.

Two bundles: what HEAD, origin's branches and the tags have, and the commit of the work tree. The server keeps each by its digest;
the first stays the same for as long as nothing is committed or fetched.
"""

import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from agent.cli.client import Client
from agent.cli.flow.source import is_excluded
from agent.cli.terminal.progress import Progress
from agent.cli.transfers import send_file, try_patiently
from agent.serving_git.bundle import write_bundle
from agent.serving_git.work_tree import Code, commit_work_tree
from agent.spec.job import Source


@dataclass(frozen=True, slots=True)
class _Layer:
    """A bundle: the code that it brings, less what `known` has."""

    code: Code
    known: tuple[str, ...]


def send_code(
    client: Client, source: Source, folder: Path, excluded: tuple[str, ...], *, shows: bool
) -> Source:
    """Upload what makes a repository of the work tree around `folder`; `source` with what the server needs to serve it.

    Raises UsageError when git can't take the tree as it is.
    """
    with tempfile.TemporaryDirectory(prefix="flow-code-") as temporary:
        place = Path(temporary)
        code = commit_work_tree(folder, place / "tree", partial(is_excluded, patterns=excluded))
        bundles = [
            _send_layer(client, layer, place / f"{number}.bundle", shows=shows)
            for number, layer in enumerate(_split(code))
        ]
    return replace(source, bundles=tuple(bundles), tip=code.tip, default_branch=code.default_branch)


def _split(code: Code) -> list[_Layer]:
    """The history, which the next run has in common with this one, and what it has of its own."""
    if code.base in ("", code.tip):
        return [_Layer(code, ())]
    refs = {name: code.base if oid == code.tip else oid for name, oid in code.refs.items()}
    history = replace(code, tip=code.base, refs=refs, objects=code.objects[1:])
    return [_Layer(history, ()), _Layer(code, tuple(dict.fromkeys([code.base, *refs.values()])))]


def _send_layer(client: Client, layer: _Layer, file: Path, *, shows: bool) -> str:
    import hashlib

    write_bundle(layer.code, layer.known, file)
    with file.open("rb") as written:
        digest = "sha256:" + hashlib.file_digest(written, "sha256").hexdigest()
    path = client.in_project(f"/api/v1/snapshots/{digest}")
    if not client.has(path):
        size = file.stat().st_size
        with Progress("send", size, sys.stderr, time.monotonic, shown=shows) as progress:
            try_patiently(lambda: send_file(client, path, file, progress.add))
    file.unlink()
    return digest
