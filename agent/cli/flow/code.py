"""A snapshot as a git repository on its way to the server: its history once, and what is not committed on top of it.

Two bundles: what HEAD, origin's branches and the tags have, and the commit of the work tree. The server keeps each by its digest;
the first stays the same for as long as nothing is committed or fetched.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from agent.cli.client import Client
from agent.cli.flow.source import is_excluded
from agent.cli.terminal.progress import Progress
from agent.cli.terminal.tables import plain
from agent.cli.transfers import send_file, try_patiently
from agent.errors import NotFoundError
from agent.flow.repository import split_repository
from agent.serving_git.beside import list_beside
from agent.serving_git.bundle import list_present, write_bundle
from agent.serving_git.work_tree import Code, commit_work_tree
from agent.spec.job import CodeBeside, Source

_NO_ORIGIN = (
    "local/work"  # whose neighbours are `local/…`, as the runs of such code call their own repository
)
_MOST_BUNDLES = 16  # that one history is made of: then it is sent whole again


@dataclass(frozen=True, slots=True)
class _Layer:
    """A bundle: the code that it brings, less what `known` has."""

    code: Code
    known: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _History:
    """What the server has already: bundles, and those objects in them that are here, too."""

    bundles: tuple[str, ...] = ()
    has: tuple[str, ...] = ()
    refs: Mapping[str, str] = field(default_factory=dict)


def send_code(
    client: Client, source: Source, folder: Path, excluded: tuple[str, ...], *, shows: bool
) -> Source:
    """Upload what makes a repository of the work tree around `folder`; `source` with what the server needs to serve it.

    Raises AgentError when git can't take the tree as it is.
    """
    with tempfile.TemporaryDirectory(prefix="flow-code-") as temporary:
        place = Path(temporary)
        code = commit_work_tree(folder, place / "tree", partial(is_excluded, patterns=excluded))
        for doubt in code.list_doubts():
            sys.stderr.write(f"warning: {plain(doubt)}\n")
        history = _find_history(client, code)
        sent = [
            _send_layer(client, layer, place / f"{number}.bundle", shows=shows)
            for number, layer in enumerate(_split(code, history))
        ]
        name = split_repository(source.url)[1] or _NO_ORIGIN
        beside = tuple(
            CodeBeside(
                other,
                (_send_layer(client, _Layer(inner, ()), place / "beside.bundle", shows=shows),),
                inner.default_branch,
            )
            for other, inner in list_beside(code, name, place)
        )
    bundles = (*history.bundles, *sent)
    return replace(source, bundles=bundles, tip=code.tip, default_branch=code.default_branch, beside=beside)


def _find_history(client: Client, code: Code) -> _History:
    """The newest history at the server that this code grew from, or that has a part of it."""
    if not code.base:
        return _History()
    try:
        items = client.get(client.in_project("/api/v1/histories"))["items"]
    except NotFoundError:  # a server from before it kept them
        return _History()
    for item in items:
        here = list_present(code, list(dict.fromkeys([item["commit"], *item["refs"].values()])))
        if item["commit"] in here and len(item["bundles"]) < _MOST_BUNDLES:
            return _History(tuple(item["bundles"]), tuple(here), item["refs"])
    return _History()


def _split(code: Code, history: _History) -> list[_Layer]:
    """What is new in the history, which the next run has in common with this one, and what is this one's own."""
    if code.base in ("", code.tip):
        is_there = bool(history.bundles) and code.refs == history.refs
        return [] if is_there else [_Layer(code, history.has)]
    refs = {name: code.base if oid == code.tip else oid for name, oid in code.refs.items()}
    known = tuple(dict.fromkeys([code.base, *refs.values()]))
    own = _Layer(code, known)
    if set(known) <= set(history.has):
        return [own]
    return [_Layer(replace(code, tip=code.base, refs=refs, objects=code.objects[1:]), history.has), own]


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
