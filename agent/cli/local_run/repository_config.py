"""The settings of a copied repository: by none of them git goes out of the copy.

A file that can't lead anywhere is copied as it is. Of any other, git says what is in it and in all that it includes, and the
copy is written anew: nothing is included from elsewhere any more.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.cli.local_run.borders import Borders

# A name of a setting is written out, if in any case of letters (git-config(1)): without these words nothing leads out.
_WORDS = (b"worktree", b"hookspath", b"storage", b"include")
_INCLUDES = ("include.", "includeif.")
_MAINS = ("core.bare", "core.worktree")  # git doesn't heed them in a linked work tree


class UncopyableError(Exception):
    """The repository can't be made one of its own; says why."""


@dataclass(frozen=True, slots=True)
class RepositoryPlace:
    """Where a repository is, and where its copy will be: `name` in the copied folder."""

    folder: Path  # with its own settings
    name: str
    borders: Borders
    is_linked: bool = False  # it is that of a linked work tree, whose settings are another's


def settle_config(file: Path, place: RepositoryPlace) -> bytes | None:
    """What is to stand in the copy of `file`; None where it can stay as it is.

    Raises UncopyableError when git can't read it, or says that the repository's data lies elsewhere for good.
    """
    try:
        content = file.read_bytes().lower()
    except OSError:
        return None
    if not place.is_linked and not any(word in content for word in _WORDS):
        return None
    return "".join(_write(place, _read(file, place.folder))).encode("utf-8", "surrogateescape")


def _read(file: Path, folder: Path) -> list[tuple[str, str | None]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_DIR": str(folder), "GIT_WORK_TREE": "/"}  # else it goes where `core.worktree` says
    command = ["git", "config", "--file", str(file), "--includes", "--null", "--list"]
    try:
        done = subprocess.run(
            command, env=environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise UncopyableError("git is not installed, and its settings lead elsewhere") from None
    if done.returncode != 0:
        raise UncopyableError(os.fsdecode(done.stderr).strip().removeprefix("fatal: "))
    entries = [entry.partition("\n") for entry in os.fsdecode(done.stdout).split("\0") if entry]
    return [(name, value if between else None) for name, between, value in entries]


def _write(place: RepositoryPlace, settings: list[tuple[str, str | None]]) -> Iterator[str]:
    for name, value in settings:
        if name.startswith(_INCLUDES) or (place.is_linked and name in _MAINS):
            continue
        settled = _settle(place, name, value) if value is not None else value
        if settled is None and value is not None:
            continue
        yield _show(name, settled)
    if place.is_linked:
        yield _show("core.bare", "false")


def _settle(place: RepositoryPlace, name: str, value: str) -> str | None:
    """The setting's value in the copy; None when it is none there."""
    match name:
        case "core.worktree" | "lfs.storage":
            return place.borders.lead(value, place.folder, place.name)
        case "core.hookspath":
            return _settle_hooks(place, value)
        case "extensions.refstorage" if ":" in value:
            raise UncopyableError(f"its references lie in '{value}'")
    return value


def _settle_hooks(place: RepositoryPlace, value: str) -> str | None:
    """Hooks are looked for from the work tree's top, or from a repository that has none."""
    tree, _, last = place.name.rpartition("/")
    if last != ".git":
        return None if ".." in value.split("/") or value.startswith(("/", "~", "%")) else value
    return place.borders.lead(value, place.borders.source / tree, tree)


def _show(name: str, value: str | None) -> str:
    """One setting in a section of its own (git-config(1), *Syntax*)."""
    section, _, rest = name.partition(".")
    within, _, key = rest.rpartition(".")
    title = f'{section} "{_escape(within)}"' if within else section
    if value is None:
        return f"[{title}]\n\t{key}\n"
    escaped = _escape(value).replace("\n", "\\n").replace("\t", "\\t").replace("\b", "\\b")
    return f'[{title}]\n\t{key} = "{escaped}"\n'


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
