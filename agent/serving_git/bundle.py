"""Git bundles: refs and one pack of objects in a file. Git packs and unpacks; the few lines in front of the pack are ours.

    # v3 git bundle
    @object-format=sha1
    -COMMIT                 what whoever takes it in has already
    OBJECT refs/heads/main
    OBJECT refs/flow/shallow/COMMIT   our own: a commit whose parents are not there
    (an empty line, and the pack)

Source: gitformat-bundle(5).
"""

import re
import subprocess
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from agent.asking_git import git_environment
from agent.errors import AgentError, DamagedError
from agent.serving_git.commands import run_command
from agent.serving_git.work_tree import Code, quote

_SIGNATURE: Final = b"# v3 git bundle\n"
_SHALLOW: Final = "refs/flow/shallow/"
_OBJECT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF: Final = re.compile(
    r"refs/(?:heads|tags|flow/shallow)/(?![-/.])(?!.*(?:\.\.|@\{|//|/\.|\.lock(?:/|$)|[/.]$))[^\x00-\x20\x7f~^:?*\[\\]+"
)
# What git has packed is sent as it is; of the rest, what is large is seldom like anything else, and costs most to compare.
_PACKING: Final = ("core.bigFileThreshold=1m", "pack.compression=1")
_LONGEST_LINE: Final = 4096
_MOST_LINES: Final = 500_000


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the pack."""

    is_sha256: bool = False
    needs: tuple[str, ...] = ()
    refs: dict[str, str] = field(default_factory=dict)  # branches and tags, by full name
    shallow: tuple[str, ...] = ()


def write_bundle(code: Code, known: Collection[str], file: Path) -> None:
    """Write the code and its history, less what the commits `known` have, to `file`. Raises AgentError with git's words."""
    with file.open("wb") as out:
        out.write(_write_header(code, known))
        out.flush()
        wanted = [*dict.fromkeys([code.tip, *code.refs.values()]), *(f"^{one}" for one in known)]
        environment = {
            **git_environment(),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": ":".join(quote(folder) for folder in code.objects),
        }
        settings = [part for setting in _PACKING for part in ("-c", setting)]
        place = ("git", *settings, f"--git-dir={code.git_dir}")
        command = [*place, "pack-objects", "--revs", "--stdout", "--quiet", "--delta-base-offset"]
        done = subprocess.run(
            command,
            input="".join(f"{one}\n" for one in wanted).encode(),
            env=environment,
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
        )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no word"]
        raise AgentError(
            f"git can't pack the code: {said[-1]}", hint="`git fsck` says what is wrong with the repository"
        )


def list_present(code: Code, objects: Collection[str]) -> list[str]:
    """Those of the objects that the code's repository has."""
    asked = "".join(f"{one}\n" for one in objects if _OBJECT.fullmatch(one)).encode()
    command = ["git", f"--git-dir={code.git_dir}", "cat-file", "--batch-check=%(objectname) %(objecttype)"]
    said = run_command(command, git_environment(), asked).decode().splitlines()
    return [line.partition(" ")[0] for line in said if not line.endswith(" missing")]


def read_header(file: IO[bytes]) -> Header:
    """The header; `file` then stands at the pack. Raises DamagedError for what is none of ours."""
    if file.readline(_LONGEST_LINE) != _SIGNATURE:
        raise DamagedError("this is no git bundle")
    header = Header()
    kind = "sha1"
    needs: list[str] = []
    shallow: list[str] = []
    for _ in range(_MOST_LINES):
        line = file.readline(_LONGEST_LINE)
        if line == b"\n":
            return Header(kind == "sha256", tuple(needs), header.refs, tuple(shallow))
        text = line.decode("utf-8", "replace").removesuffix("\n")
        if text.startswith("@"):
            kind = text.removeprefix("@object-format=")
        elif text.startswith("-"):
            needs.append(_check_object(text[1:]))
        else:
            oid, _, name = text.partition(" ")
            if not _REF.fullmatch(name):
                break
            if name.startswith(_SHALLOW):
                shallow.append(_check_object(oid))
            else:
                header.refs[name] = _check_object(oid)
    raise DamagedError("the bundle's header can't be read")


def _write_header(code: Code, known: Collection[str]) -> bytes:
    lines = [f"@object-format={'sha256' if code.is_sha256 else 'sha1'}"]
    lines += [f"-{commit}" for commit in known]
    lines += [f"{oid} {name}" for name, oid in sorted(code.refs.items()) if _REF.fullmatch(name)]
    lines += [f"{commit} {_SHALLOW}{commit}" for commit in code.shallow]
    return _SIGNATURE + "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape") + b"\n"


def _check_object(text: str) -> str:
    if not _OBJECT.fullmatch(text):
        raise DamagedError("the bundle names an object that is none")
    return text
