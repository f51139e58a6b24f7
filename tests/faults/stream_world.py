"""A server, an agent and two deployed flows under load, whose parts are killed and started again as their owners would."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from random import Random

from faults.stream_load import GROUP, STREAM, CountingSink, Ledger, adding, list_pending, sending
from faults.world import KEY, query_store, state_of, wait_for
from support.brokers import run_redis
from support.lab import Lab
from support.postgres import Cluster

from agent.errors import AgentError
from agent.job.launch.launcher import JobFolder, list_job_folders
from agent.job.process.ending import find_supervisors
from agent.spec.stages import StagesWork

AGENT = "one"
HOOKS, ENTRIES = "hooks", "entries"
_LOOK_SECONDS = 0.005
_STILL_SECONDS = 3.0  # without a record: none comes while a part is down
_MOST_RECORDS = 600
_FLOWS = {
    HOOKS: """\
name: hooks
stages:
  - {name: in, action: webhook, config: {path: /load}, out: work}
  - {name: work, action: python, config: {code: "def handle(record): return record"}, out: send}
  - {name: send, action: webhook, config: {url: "SINK", concurrency: 4}}
""",
    ENTRIES: f"""\
name: entries
stages:
  - {{name: in, action: redis, config: {{url: "REDIS", stream: {STREAM}, group: {GROUP}, field: record}}, out: send}}
  - {{name: send, action: webhook, config: {{url: "SINK", concurrency: 4}}}}
""",
}


class Part(StrEnum):
    """What is killed."""

    SUPERVISOR = "supervisor"
    AGENT = "agent"
    SERVER = "server"


@dataclass(frozen=True)
class Kill:
    """`parts` end after so many more records of `flow`; the supervisor is that of its job."""

    parts: tuple[Part, ...]
    flow: str
    after_records: int

    def __str__(self) -> str:
        return f"{' and '.join(self.parts)} ({self.flow}) after {self.after_records} records"


def draw_kills(random: Random) -> Iterator[Kill]:
    """A schedule without end. One in five ends two parts at once; some come before the last one has been got over."""
    while True:
        parts = random.sample(list(Part), 2 if random.random() < 0.2 else 1)
        # Evenly over the orders of magnitude; the supervisor goes first, for what it holds is looked up.
        records = int(_MOST_RECORDS ** random.random()) - 1
        yield Kill(tuple(sorted(parts, key=list(Part).index)), random.choice((HOOKS, ENTRIES)), records)


@dataclass
class Died:
    """A supervisor that was killed: of which flow, when, and which records its job had and had not settled."""

    flow: str
    at: float
    unsettled: frozenset[str]


@dataclass
class StreamRecord:
    """What was done, for whoever judges the outcome."""

    died: list[Died] = field(default_factory=list)
    down: list[float] = field(default_factory=list)  # when servers were killed


class StreamWorld(Lab):
    """A lab with flows under load. `begin` first."""

    def begin(self, stack: ExitStack, cluster: Cluster | None) -> None:
        """Start and deploy everything; the load begins with it."""
        self.record = StreamRecord()
        self.ledgers = {name: Ledger(name) for name in _FLOWS}
        self.database_url = "" if cluster is None else cluster.make_database()
        if cluster is not None:
            self.environment |= {"AGENT_DATABASE_URL": self.database_url, "AGENT_MASTER_KEY": KEY}
        (self.folder / "redis").mkdir()
        redis = stack.enter_context(run_redis(self.folder / "redis"))
        self._redis_port = redis.port
        sink = CountingSink(self.ledgers)
        stack.callback(sink.server.server_close)
        stack.callback(sink.server.shutdown)
        self.start_server()
        self.add_agent(AGENT, "--max-jobs", "8")
        for name, text in _FLOWS.items():
            text = text.replace("SINK", sink.url).replace("REDIS", f"redis://127.0.0.1:{redis.port}")
            (self.folder / f"{name}.yaml").write_text(text)
            self.deploy(name)

    @contextmanager
    def under_load(self) -> Iterator[None]:
        """Records are given all the time. At the end: all that were given are accepted."""
        url = f"{self.url}/streams/default/load"
        with sending(self.ledgers[HOOKS], url), adding(self.ledgers[ENTRIES], self._redis_port):
            yield

    def deploy(self, name: str) -> None:
        """Deploy a flow, or deploy it again: it begins at once, however often it has failed."""
        file = self.folder / f"{name}.yaml"
        wait_for(lambda: self.agent("flow", "deploy", file, "--source", "none").code == 0, f"{name} deployed")

    def suffer(self, kill: Kill) -> bool:
        """Let it happen, and start again what was killed. False when there was no such supervisor."""
        self._wait_for_records(self.ledgers[kill.flow], kill.after_records)
        ends = {
            Part.SUPERVISOR: partial(self._kill_supervisor, kill.flow),
            Part.AGENT: partial(self._kill_process, AGENT),
            Part.SERVER: partial(self._kill_process, "server"),
        }
        killed = [part for part in kill.parts if ends[part]()]
        if Part.SERVER in killed:
            self.start_again()
        if Part.AGENT in killed:
            self._start(AGENT, "start", environment={"AGENT_STATE": str(self.state(AGENT))})
        if Part.SUPERVISOR in killed:
            self.deploy(kill.flow)
        return bool(killed)

    def start_again(self) -> None:
        """Start the server; whether it comes up is seen by whoever asks it something."""
        listen = self.url.removeprefix("http://")
        self._start("server", "server", "--listen", listen, "--data", str(self.data))

    def list_unsettled(self, flow: str) -> frozenset[str]:
        """The names of the records that jobs of a flow have taken, and not settled."""
        if flow == ENTRIES:
            return list_pending(self._redis_port)
        query = "SELECT body FROM queue_records WHERE holder IS NOT NULL"
        rows = query_store(self.data, self.database_url, query)
        return frozenset(json.loads(bytes(body))["id"] for (body,) in rows)

    def wait_until_drained(self) -> None:
        """Until all that was accepted has arrived and is settled."""
        for name, ledger in self.ledgers.items():
            wait_for(lambda ledger=ledger: not ledger.missing, f"all that {name} has accepted")
            wait_for(lambda name=name: not self.list_unsettled(name), f"the end of all that {name} had")

    def undeploy_all(self) -> None:
        """The end of all flows, and of their jobs."""
        for name in _FLOWS:
            done = self.agent("flow", "undeploy", name)
            assert done.code == 0, done.err
        wait_for(lambda: self.get("flow", "deployments") == [], "the end of the deployments")

    def _wait_for_records(self, ledger: Ledger, more: int) -> None:
        """Until so many more of its records have come or gone, or none do."""
        start = last = ledger.work
        changed = time.monotonic()
        while last < start + more and time.monotonic() < changed + _STILL_SECONDS:
            time.sleep(_LOOK_SECONDS)
            if (now := ledger.work) != last:
                last, changed = now, time.monotonic()

    def _kill_process(self, name: str) -> bool:
        early = self.processes[name].poll()
        assert early is None, f"{name} had ended by itself, with {early}: {self.log_of(name)[-2000:]}"
        if name == "server":
            self.record.down.append(time.monotonic())
        self.kill(name)
        return True

    def _kill_supervisor(self, flow: str) -> bool:
        """It is stopped first, so that what it holds is known."""
        for folder in list_job_folders(self.state(AGENT) / "jobs"):
            if _flow_of(folder) != flow:
                continue
            for pid in find_supervisors(folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                    wait_for(lambda pid=pid: state_of(pid) in "TZX", "the supervisor to stop")
                    at = time.monotonic()
                    self.record.died.append(Died(flow, at, self.list_unsettled(flow)))
                    os.kill(pid, signal.SIGKILL)
                    return True
        return False


def _flow_of(folder: JobFolder) -> str:
    """The flow whose job a folder is of; empty: none can be told."""
    with contextlib.suppress(AgentError):
        work = folder.read_spec().work
        return work.flow if isinstance(work, StagesWork) else ""
    return ""


@contextmanager
def make_stream_world(folder: Path, cluster: Cluster | None = None) -> Iterator[StreamWorld]:
    """A world in `folder`; whatever is left of it at the end is ended."""
    with ExitStack() as stack:
        world = StreamWorld(folder)
        others = stack.enter_context(ExitStack())  # end after the processes that use them
        stack.enter_context(world)
        world.begin(others, cluster)
        yield world
