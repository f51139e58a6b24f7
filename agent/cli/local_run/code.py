"""The code of a local run, served to its jobs as a git repository: its own work tree, uncommitted changes on top of HEAD.

commit_code --- nothing may ask for it: None ---> a run as ever
     '--- CommittedCode ---> serve_code: a process that answers git on this machine, and ends with this one
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.errors import AgentError
from agent.serving_git.beside import list_beside
from agent.serving_git.repository import make_repository
from agent.serving_git.work_tree import Code, commit_work_tree, find_storage

_LOOPBACK = "127.0.0.1"
_END_SECONDS = 5.0


def commit_code(workspace: Path, folder: Path) -> Code | None:
    """The code in `workspace` as a commit, its new objects below `folder`; None, with a warning, when git can't take it."""
    try:
        code = commit_work_tree(workspace, folder / "code")
    except AgentError as error:
        sys.stderr.write(
            f"warning: {workspace} can't be read as a git repository, so `actions/checkout` won't find it: {error}\n"
        )
        return None
    for doubt in code.list_doubts():
        sys.stderr.write(f"warning: {doubt}\n")
    return code


@dataclass(slots=True)
class ServedCode:
    """Where the code is served. Each job gets a token of its own, which ends with it."""

    url: str
    is_upstreams_token: (
        bool  # whoever started the run gave one: it is for the API of the repository's own host
    )
    _process: "subprocess.Popen[bytes]"
    _tokens: dict[str, str] = field(default_factory=dict)

    def begin(self, job: str, given: str) -> str:
        """The token that opens the code to the job: the one that was `given`, else a new one."""
        self._tokens[job] = token = given or secrets.token_urlsafe(32)
        self._tell({"add": token})
        return token

    def end(self, job: str) -> None:
        """The job has ended."""
        token = self._tokens.pop(job, "")
        if token and token not in self._tokens.values():
            self._tell({"remove": token})

    def _tell(self, change: Mapping[str, str]) -> None:
        _write(self._process, change)


@contextmanager
def serve_code(
    code: Code, repository: str, folder: Path, *, pull_request: object, is_upstreams_token: bool, host: str
) -> Iterator[ServedCode]:
    """Serve the code as `repository` (`owner/name`) on this machine, for as long as the context lasts.

    Beside it are the other repositories of its `host` (`https://github.com`) that are public there.
    """
    place = folder / "served"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "agent.serving_git.loopback"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        start_new_session=True,
    )
    try:
        make_repository(
            place,
            code.objects,
            code.refs,
            default_branch=code.default_branch,
            shallow=code.shallow,
            is_sha256=code.is_sha256,
        )
        facts = {
            "place": str(place),
            "default_branch": code.default_branch,
            "head": code.tip,
            "pull_request": pull_request if isinstance(pull_request, Mapping) else {},
            "large_files": str(find_storage(code) or ""),
        }
        beside = dict(_serve_submodules(code, repository, folder))
        told = {"repositories": {**beside, repository: facts}, "addresses": [_LOOPBACK], "host": host}
        _write(process, told)
        assert process.stdout is not None
        (port,) = json.loads(process.stdout.readline())["ports"]
        yield ServedCode(f"http://{_LOOPBACK}:{port}", is_upstreams_token, process)
    finally:
        _end(process)


def _serve_submodules(code: Code, repository: str, folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The submodules whose address is relative: by the names that git makes of it."""
    for number, (name, inner) in enumerate(list_beside(code, repository, folder)):
        place = folder / f"served-{number}"
        make_repository(
            place, inner.objects, inner.refs, default_branch=inner.default_branch, is_sha256=inner.is_sha256
        )
        facts = {
            "place": str(place),
            "default_branch": inner.default_branch,
            "head": inner.tip,
            "large_files": str(find_storage(inner) or ""),
        }
        yield name, facts


def _write(process: "subprocess.Popen[bytes]", said: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(said).encode() + b"\n")
    process.stdin.flush()


def _end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
