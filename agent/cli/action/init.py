"""`agent action init`: a new action that works, to be changed into what it shall be."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from agent.cli.local_files.checkout import Checkout, find_checkout
from agent.errors import AgentError, UsageError
from agent.flow.repository import split_repository
from agent.resolve.manifests import BEGINNINGS, FRONT_ENDS, begin_files
from agent.resolve.manifests.beginnings import ActionHome

# What a repository has before anything is in it: these stay as they are.
_BEFORE = (".git", ".gitignore", ".gitattributes", ".editorconfig", ".github", "codeowners")
_BEFORE_BEGINNINGS = ("readme", "licen", "copying")
_KEPT = "README.md"


def begin_action(folder: Path, using: str, manifest: str, out: TextIO) -> int:
    """Write a new action with that manifest into `folder`. Raises UsageError when there is something in it already."""
    _refuse_full(folder)
    name = folder.resolve().name
    home = find_home(folder)
    files = _begin(name, using, manifest) if manifest else _make(name, using or BEGINNINGS[0], home)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        has_readme = any(entry.name.lower().startswith("readme") for entry in folder.iterdir())
        written = {file: text for file, text in files.items() if file != _KEPT or not has_readme}
        for file, text in written.items():
            (folder / file).write_text(text, encoding="utf-8")
            if text.startswith("#!"):
                (folder / file).chmod(0o755)
    except OSError as error:
        raise AgentError(f"the action can't be written: {error.strerror}", where=str(folder)) from None
    out.write("".join(f"{folder / file}\n" for file in written))
    place, test = (
        (home.top, f"{home.path}/test.yml") if home.path and not manifest else (str(folder), "test.yml")
    )
    move = "" if Path(place).resolve() == Path.cwd() else f"cd {shlex.quote(place)} && "
    out.write(f"test it: {move}agent flow run {shlex.quote(test)}\n")
    out.write(f"check it: agent action check {shlex.quote(str(folder))}\n")
    return 0


def find_home(folder: Path) -> ActionHome:
    """Where an action in `folder` lies in its repository, and what others write for it."""
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    checkout = find_checkout(existing)
    if checkout is None:
        return ActionHome("", f"OWNER/{folder.resolve().name}@v1", str(folder))
    path = folder.resolve().relative_to(checkout.top.resolve()).as_posix()
    path = "" if path == "." else path
    return ActionHome(path, f"{_name_repository(checkout)}{'/' if path else ''}{path}@v1", str(checkout.top))


def _name_repository(checkout: Checkout) -> str:
    """What stands before the path: owner and repository, with the host where that is not the usual one."""
    server, repository = split_repository(checkout.url)
    if not repository or not server or not server.startswith(("http://", "https://")):
        return f"OWNER/{checkout.top.name}"
    usual = server.partition("://")[2].lower() == "github.com"
    return repository if usual else f"{server}/{repository}"


def _refuse_full(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError("this is no folder", where=str(folder), hint="name a new one")
    own = [entry.name for entry in folder.iterdir() if not _is_before(entry.name.lower())]
    if own:
        what = f"the folder is not empty: it has {min(own)!a}"
        raise UsageError(
            what, where=str(folder), hint="name a new one, or one with a README and a licence at most"
        )


def _is_before(name: str) -> bool:
    return name in _BEFORE or name.startswith(_BEFORE_BEGINNINGS)


def _begin(name: str, using: str, manifest: str) -> Mapping[str, str]:
    known = {file: front.beginnings for file, front in FRONT_ENDS.items() if front.beginnings}
    if manifest not in known:
        raise UsageError(
            f"no action begins with '{manifest}'", where="--manifest", hint=f"one of {', '.join(known)}"
        )
    beginnings = known[manifest]
    using = using or next(iter(beginnings))
    if using not in beginnings:
        raise UsageError(
            f"no {manifest} runs '{using}'", where="--using", hint=f"one of {', '.join(beginnings)}"
        )
    return beginnings[using](name)


def _make(name: str, using: str, home: ActionHome) -> Mapping[str, str]:
    if using not in BEGINNINGS:
        raise UsageError(
            f"there is no beginning that runs '{using}'", where="--using", hint="or name --manifest"
        )
    return begin_files(name, using, home)
