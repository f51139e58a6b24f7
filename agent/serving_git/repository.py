"""Repositories that are served: bare, with refs of their own, and objects that lie elsewhere and are borrowed.

A repository has exactly what its run brought: what another run has brought is not hidden in it, but not there. So every
commit in it may be asked for by name.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Final

from agent.errors import AgentError
from agent.serving_git.bundle import Header
from agent.serving_git.commands import run_own

_MISSING: Final = b"missing"


def make_store(folder: Path, pack: IO[bytes], header: Header, borrowed: Iterable[Path]) -> None:
    """Make the new folder `folder` a place of the objects in a bundle; `borrowed` are those that it builds upon.

    What the header names has to be there. What the objects say is for the git that checks them out to judge. Raises AgentError.
    """
    _init(folder, is_sha256=header.is_sha256)
    _borrow(folder, borrowed)
    run_own("index-pack", "--stdin", folder=folder, reads=pack)
    named = sorted({*header.needs, *header.refs.values(), *header.shallow})
    said = run_own("cat-file", "--batch-check=%(objecttype)", folder=folder, data=_lines(named)).splitlines()
    if any(line.endswith(_MISSING) for line in said):
        raise AgentError("the bundle names objects that neither it nor what it builds upon has")
    (folder / "objects" / "info" / "alternates").unlink(missing_ok=True)  # git follows only so many of them


def make_repository(
    folder: Path,
    objects: Iterable[Path],
    refs: Mapping[str, str],
    *,
    default_branch: str,
    shallow: Iterable[str] = (),
    is_sha256: bool = False,
) -> None:
    """Make the new folder `folder` a repository that can be served. `refs` lead to what is there."""
    _init(folder, is_sha256=is_sha256)
    _borrow(folder, objects)
    if borders := "".join(f"{commit}\n" for commit in shallow):
        (folder / "shallow").write_text(borders, encoding="ascii")
    lines = "".join(f"{oid} {name}\n" for name, oid in sorted(refs.items()))
    (folder / "packed-refs").write_bytes(
        lines.encode("utf-8", "surrogateescape")
    )  # one file, however many they are
    if f"refs/heads/{default_branch}" in refs:
        run_own("symbolic-ref", "HEAD", f"refs/heads/{default_branch}", folder=folder)


def _init(folder: Path, *, is_sha256: bool) -> None:
    kind = "sha256" if is_sha256 else "sha1"
    options = ("--quiet", "--bare", "--template=", "--initial-branch=main", f"--object-format={kind}")
    run_own("init", *options, "--", str(folder))


def _borrow(folder: Path, objects: Iterable[Path]) -> None:
    file = folder / "objects" / "info" / "alternates"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"".join(os.fsencode(_escape(place)) + b"\n" for place in objects))


def _escape(place: Path) -> str:
    """As `objects/info/alternates` has it: in quotes where it could be taken for something else."""
    text = str(place)
    if text.startswith(("#", '"')) or "\n" in text:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return text


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()
