"""The services that actions call in a local run: artifacts and caches, on this machine, for as long as the run lives.

    offer (a socket listens, and nobody behind it) --> a job connects --> start (a process takes the socket over) --> close

What a job is handed costs nothing: an address, and a token of its own. The server's code is loaded by a process of its own, and
only when somebody asks; where it is not installed, that process says how to get it.
"""

import base64
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from agent.config import bundled
from agent.spec.job import JobSpec

FOLDER: Final = "services"  # in the state folder
_ISSUER: Final = "local run"
_LEASE: Final = 1
_YEAR_SECONDS: Final = 365 * 86_400
_END_SECONDS: Final = 20.0
_NEEDED: Final = (
    "uvicorn",
    "starlette",
    "sqlalchemy",
    "aiosqlite",
    "alembic",
    "msgspec",
    "joserfc",
    "obstore",
)


class LocalServices:
    """The services of one run. Caches lie below `folder` for later runs of `owner`; artifacts also in `artifacts`.

    `warn` is told once when they can't be had.
    """

    def __init__(self, folder: Path, owner: str, artifacts: Path, warn: Callable[[str], None]) -> None:
        self._about = {"data": str(folder), "owner": owner, "artifacts": str(artifacts)}
        self._warn = warn
        self._key = os.urandom(32)
        self._run = int.from_bytes(os.urandom(6), "big") + 1
        self._listener: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._jobs: dict[str, JobSpec] = {}

    def offer(self, spec: JobSpec, now: float) -> tuple[str, str]:
        """Where the services are for a job that begins, and its token for them."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._jobs[spec.job] = spec
        self._say(_describe(spec))
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}", self._mint(spec, now)

    def end(self, job: str) -> None:
        """The job has ended, and its token with it."""
        if self._jobs.pop(job, None) is not None:
            self._say({"end": job})

    @property
    def waiting(self) -> socket.socket | None:
        """What becomes readable when a job asks first; None when nobody can, or it was heard."""
        return self._listener if self._process is None else None

    def start(self) -> None:
        """Have a process answer."""
        assert self._listener is not None
        is_there = all(find_spec(name) is not None for name in _NEEDED)
        absent = "" if is_there else explain_absent()
        if absent:
            self._warn(absent)
        module = "agent.server.local_run" if is_there else "agent.cli.local_run.absent_services"
        number = self._listener.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-X", "utf8", "-m", module, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[number],
            start_new_session=True,  # ctrl-C is for the run: jobs that are cancelled still upload
        )
        key = base64.b64encode(self._key).decode()
        self._say({**self._about, "run": self._run, "issuer": _ISSUER, "signing_key": key, "says": absent})
        for spec in self._jobs.values():
            self._say(_describe(spec))

    def close(self) -> None:
        """The run is over."""
        if self._listener is not None:
            self._listener.close()
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _say(self, said: dict[str, object]) -> None:
        if self._process is None or self._process.stdin is None:
            return
        try:
            self._process.stdin.write(json.dumps(said).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # it has died: who asks it is told so by the system
            return

    def _mint(self, spec: JobSpec, now: float) -> str:
        """A token as `agent.server.people.auth.runtime` reads it (RFC 7519), without what that loads."""
        claims = {
            "iss": _ISSUER,
            "aud": "job",
            "iat": int(now),
            "exp": int(now) + _YEAR_SECONDS,
            "run": self._run,
            "job": spec.job,
            "lease": _LEASE,
            "scp": f"Actions.Results:{self._run}:{spec.job}",
            "ac": json.dumps([{"Scope": self._about["owner"], "Permission": 3}]),
        }
        head = {"alg": "HS256", "typ": "JWT"}
        signed = b".".join(_encode(json.dumps(part).encode()) for part in (head, claims))
        key = hmac.digest(self._key, b"flow-agent/runtime-token/1\x01", hashlib.sha256)
        return (signed + b"." + _encode(hmac.digest(key, signed, hashlib.sha256))).decode()


def explain_absent() -> str:
    """How to get what the services are made of, in a sentence."""
    packages = bundled("install") / "requirements" / "server.txt"
    command = f"{sys.executable} -m pip install --require-hashes -r {packages}"
    return f"artifacts and caches of others' actions need the server's packages, which are not installed here: {command}"


def _describe(spec: JobSpec) -> dict[str, object]:
    return {"begin": spec.job, "key": spec.key, "attempt": spec.attempt}


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
