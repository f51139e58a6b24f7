"""The words of the server's tests: a real server process, a real agent protocol over a real websocket, small flows."""

import atexit
import contextlib
import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from server.forks import server_forks
from support.lab import PATIENCE_SECONDS
from support.postgres import migrate_aside, run_statement
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from agent.journal.format import Closed, Log, Opened, Record, StepChanged, encode
from agent.journal.magic import MAGIC
from agent.seal.files import make_private_folder
from agent.seal.identity import challenge_message, create_identity
from agent.seal.secrets import open_sealed
from agent.spec.outcome import Conclusion, JobResult
from agent.spec.resources import Inventory, to_json
from agent.wire import messages as m
from agent.wire.agent_side import AgentProtocol

INVENTORY = Inventory("box-1", "Linux", "24.04", "X64", "6.8.0", "a cpu", 8, 1 << 34)
ONE_JOB = """\
on: workflow_dispatch
jobs:
  train:
    runs-on: linux
    steps:
      - run: echo hello
"""
TWO_JOBS = """\
on: workflow_dispatch
jobs:
  train:
    runs-on: linux
    outputs:
      model: ${{ steps.fit.outputs.model }}
    steps:
      - id: fit
        run: echo ${{ secrets.DATA_KEY }}
  evaluate:
    needs: train
    runs-on: linux
    steps:
      - run: echo ${{ needs.train.outputs.model }}
"""


def wait_for(claim: Callable[[], Any], what: str = "") -> Any:
    """The first true value that `claim` gives."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := claim()):
        assert time.monotonic() < deadline, f"waited in vain: {what or claim}"
        time.sleep(0.01)
    return value


@cache
def _empty_store() -> Path:
    """A SQLite database with this version's schema and nothing else: built once a process, and copied."""
    file = Path(tempfile.mkdtemp(prefix="flow-store-")) / "flow.db"
    atexit.register(shutil.rmtree, file.parent, ignore_errors=True)
    migrate_aside(file)
    return file


class ServerProcess:
    """A server on a data folder; the admin's token is kept over restarts."""

    def __init__(self, data: Path, **settings: Any) -> None:
        self.data = data
        self.log = data.with_name(f"{data.name}.log")
        self.token = self.registration_token = ""
        self._settings = {"data": str(data), **settings}
        if "database_url" not in settings and not data.exists():
            make_private_folder(data)
            shutil.copyfile(_empty_store(), data / "flow.db")
            (data / "flow.db").chmod(0o600)
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = server_forks().start(self._settings, log)
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(timeout=PATIENCE_SECONDS)
            self.process.stdout.close()
            raise AssertionError(self.log.read_text())
        started = json.loads(line)
        self.url, self.server_id = started["url"], started["server_id"]
        self.token = started["admin_token"] or self.token
        self.registration_token = started["registration_token"] or self.registration_token
        self.http = httpx.Client(base_url=self.url, timeout=PATIENCE_SECONDS)
        self.api = httpx.Client(
            base_url=f"{self.url}/api/v1",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=PATIENCE_SECONDS,
        )

    def stop(self) -> int:
        self.process.terminate()
        return self._reap()

    def kill(self) -> None:
        self.process.kill()
        self._reap()

    def restart_after_kill(self) -> None:
        self.kill()
        self.start()

    def _reap(self) -> int:
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        self.process.stdout.close()
        self.http.close()
        self.api.close()
        return code

    def move(self, data: Path, database_url: str = "") -> None:
        """Start over what lies elsewhere."""
        self.data = data
        self._settings |= {"data": str(data), "database_url": database_url}
        self.start()

    # What lies in its store

    @property
    def database_url(self) -> str:
        """PostgreSQL's; empty: the store is the file in the data folder."""
        return str(self._settings.get("database_url", ""))

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a statement on the store itself, committed; each `?` is one of `values`."""
        if self.database_url:
            return run_statement(self.database_url, statement, *values)
        with contextlib.closing(sqlite3.connect(self.data / "flow.db", timeout=20)) as database, database:
            return database.execute(statement, values).fetchall()

    def journals(self) -> dict[tuple[str, int], bytes]:
        """What is stored of each (job, lease)."""
        if self.database_url:
            chunks = self.sql('SELECT job, lease, data FROM journal_chunks ORDER BY job, lease, "offset"')
            found: dict[tuple[str, int], bytes] = {}
            for job, lease, data in chunks:
                found[job, lease] = found.get((job, lease), b"") + data
            return found
        files = {file.name.rpartition("-"): file.read_bytes() for file in (self.data / "journals").iterdir()}
        return {(job, int(lease)): data for (job, _, lease), data in files.items()}

    def put_journal(self, job: str, lease: int, data: bytes) -> None:
        """Have the store hold `data` as this journal, as a server leaves it that died before it could read it."""
        if not self.database_url:
            (self.data / "journals" / f"{job}-{lease}").write_bytes(data)
            return
        for table in ("journal_chunks", "journals"):
            self.sql(f"DELETE FROM {table} WHERE job = ? AND lease = ?", job, lease)
        self.sql("INSERT INTO journals VALUES (?, ?, ?)", job, lease, len(data))
        self.sql("INSERT INTO journal_chunks VALUES (?, ?, 0, ?)", job, lease, data)

    def archive_journals(self) -> None:
        """Bring all journals of ended leases into archives: their time has come, and the loop looks at its start."""
        self.stop()
        self.sql("UPDATE archives SET due_at = 1 WHERE due_at IS NOT NULL")
        self.start()
        wait_for(lambda: self.sql("SELECT count(*) FROM archives WHERE due_at IS NOT NULL") == [(0,)])

    # What people do

    def submit(self, text: str = ONE_JOB, **more: Any) -> int:
        body = {"flow": {"file": "flow.yml", "text": text}, **more}
        answer = self.api.post("/runs", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["run"]

    def run(self, run: int) -> dict[str, Any]:
        return self.api.get(f"/runs/{run}").json()

    def job(self, run: int, key: str = "train") -> dict[str, Any]:
        return next(job for job in self.run(run)["jobs"] if job["key"] == key)

    def wait_for_job(self, run: int, key: str = "train", **wanted: Any) -> dict[str, Any]:
        def is_there() -> dict[str, Any] | None:
            job = self.job(run, key)
            return job if all(job[name] == value for name, value in wanted.items()) else None

        return wait_for(is_there, f"{key} of run {run} to be {wanted}")

    def put_on(self, run: int, ref: str, *, base: str = "", scope: str | None = None) -> None:
        """As if the server had found the run on this ref of a repository."""
        values = (run, "repo_1", ref, "1" * 40, base, ref if scope is None else scope)
        self.sql(
            'INSERT INTO run_branches (run, repository, ref, "commit", base, scope) VALUES (?, ?, ?, ?, ?, ?)',
            *values,
        )

    def set_secret(self, name: str, value: str) -> None:
        assert self.api.put(f"/secrets/{name}", json={"value": value}).status_code == 200

    def add_user(self, name: str, *, role: str = "", project: str = "default", **more: Any) -> str:
        """A user, with a role in a project when one is named; gives a token of theirs."""
        answer = self.api.post("/users", json={"name": name, **more})
        assert answer.status_code == 201, answer.text
        if role:
            put = self.api.put(f"/projects/{project}/members/{name}", json={"role": role})
            assert put.status_code == 200, put.text
        return self.api.post(f"/users/{name}/tokens", json={}).json()["token"]

    def as_user(self, token: str) -> httpx.Client:
        """The API as the holder of `token` calls it. Close it."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=PATIENCE_SECONDS)

    def registration(self, **more: Any) -> str:
        return self.api.post("/registration-tokens", json=more).json()["token"]

    def events(self, path: str, last_id: str = "") -> list[tuple[str, str, Any]]:
        """All events of a stream up to its end, as (id, kind, data)."""
        return list(read_events(self.api, path, last_id))


def read_events(client: httpx.Client, path: str, last_id: str = "") -> Iterator[tuple[str, str, Any]]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, response.read()
        fields: dict[str, str] = {}
        for line in response.iter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                yield fields.get("id", ""), fields["event"], json.loads(fields["data"])
                if fields["event"] == "end":
                    return
                fields = {}


class TestAgent:
    """An agent without jobs of its own: it says and hears what the test wants, by the real protocol."""

    __test__ = False

    def __init__(self, server: ServerProcess, *, name: str = "box-1", token: str = "", **more: Any) -> None:
        self.server = server
        self.name = name
        self.identity = create_identity()
        answer = server.http.post(
            "/api/v1/agents/register",
            json={
                "token": token or server.registration_token,
                "name": name,
                "identity": self.identity.public.to_json(),
                "inventory": to_json(INVENTORY),
                **more,
            },
        )
        assert answer.status_code == 201, answer.text
        self.id = answer.json()["agent"]
        assert answer.json()["server"] == server.server_id
        self.socket: ClientConnection | None = None
        self.heard: list[m.ServerMessage] = []

    def sign(self, challenge: m.Challenge) -> bytes:
        self.challenge = challenge
        return self.identity.sign(
            challenge_message(
                server=challenge.server,
                agent_id=self.id,
                nonce=challenge.nonce,
                version=challenge.version,
            )
        )

    def connect(
        self,
        *,
        held: tuple[m.HeldJob, ...] = (),
        max_jobs: int = 1,
        ready: bool = True,
        boot: str = "",
        generation: int = 0,
    ) -> "TestAgent":
        self.disconnect()
        self.heard = []
        self.protocol = AgentProtocol(self.id, "flow-agent/test", self.sign, boot, generation)
        url = self.server.url.replace("http", "ws") + "/api/v1/agent"
        self._stack = ExitStack()
        self.socket = self._stack.enter_context(connect(url, compression=None, max_size=8 << 20, proxy=None))
        self.protocol.hello()
        self.flush()
        welcome = self.hear(m.Welcome)
        self.generation = welcome.generation
        if ready:
            kept = welcome.generation if generation else 0
            self.protocol.ready(m.Ready(INVENTORY, (), max_jobs, held, boot=boot, generation=kept))
            self.flush()
        return self

    def disconnect(self) -> None:
        if self.socket is not None:
            self._stack.close()
            self.socket = None

    def flush(self) -> None:
        assert self.socket is not None
        for frame in self.protocol.outgoing():
            self.socket.send(frame)

    def hear(self, kind: type, **wanted: Any) -> Any:
        """The next message of this kind; others on the way are kept in `heard`."""
        assert self.socket is not None
        while True:
            for index, message in enumerate(self.heard):
                if isinstance(message, kind) and all(getattr(message, k) == v for k, v in wanted.items()):
                    return self.heard.pop(index)
            frame = self.socket.recv(timeout=PATIENCE_SECONDS)
            said = self.protocol.receive_text if isinstance(frame, str) else self.protocol.receive_bytes
            self.heard += said(frame)
            self.flush()

    def hear_rejection(self) -> m.Rejected:
        rejection = self.hear(m.Rejected)
        try:
            assert self.socket is not None
            while True:
                self.socket.recv(timeout=PATIENCE_SECONDS)
        except ConnectionClosed:
            return rejection

    def take(self) -> m.Assign:
        """Wait for a job and accept it."""
        assign = self.hear(m.Assign)
        self.protocol.accept(assign.job, assign.lease)
        self.flush()
        return assign

    def ship(self, assign: m.Assign, data: bytes, *, wait: bool = True) -> None:
        offset = self.protocol.next_offset(assign.job, assign.lease)
        assert offset is not None
        self.protocol.ship(assign.job, assign.lease, offset, data)
        self.flush()
        if wait:
            end = offset + len(data)
            self.hear(m.Ack, job=assign.job, lease=assign.lease, offset=end)

    def finish(self, assign: m.Assign, journal: bytes) -> None:
        """Ship a whole journal and wait until the server has all of it."""
        self.ship(assign, journal)
        self.hear(m.Release, job=assign.job, lease=assign.lease)

    def open(self, assign: m.Assign, name: str) -> str:
        return open_sealed(
            self.identity, assign.sealed[name], job_id=assign.job, lease=assign.lease, name=name
        ).decode()


def journal(assign: m.Assign, *records: Record, closes: bool = True, **result: Any) -> bytes:
    """A job's journal with `records` between its first and its last one."""
    return MAGIC + frames(
        Opened(assign.job, assign.lease, 1_800_000_000_000, {"kernel": "6.8.0"}),
        *records,
        *([closing(**result)] if closes else []),
    )


def closing(conclusion: Conclusion = Conclusion.SUCCESS, **more: Any) -> Closed:
    return Closed(1_800_000_009_000, JobResult(conclusion, **more))


def frames(*records: Record) -> bytes:
    return b"".join(encode(record) for record in records)


def log(text: str, step: int = 0) -> Log:
    return Log(step, 1_800_000_001_000, text.encode())


def step(state: str = "running", **more: Any) -> StepChanged:
    return StepChanged(0, "fit", "Fit", state, 1_800_000_001_000, **more)
