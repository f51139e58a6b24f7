"""Many agents in one process: the real protocol (agent.wire.agent_side) over real websockets, and real journals on
disk, but no supervisors: a job's journal is written at once, and shipped in small pieces as the server takes them.
"""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from agent.journal.file import JournalWriter
from agent.journal.format import Closed, Log, Opened, StepChanged
from agent.seal.identity import challenge_message, create_identity
from agent.spec.outcome import Conclusion, JobResult
from agent.spec.resources import Inventory, to_json
from agent.wire import messages as m
from agent.wire.agent_side import AgentProtocol
from agent.wire.errors import WireError

INVENTORY = Inventory("box-1", "Linux", "24.04", "X64", "6.8.0", "a cpu", 8, 1 << 34)
LINES = 20
_PIECE_BYTES = 300
_HEARTBEAT_SECONDS = 1.0
_RETRY_SECONDS = 0.1


def lines_of(job: str) -> list[str]:
    """What a job prints."""
    return [f"{job} line {number}" for number in range(LINES)]


@dataclass(eq=False)
class FleetAgent:
    """One agent: takes whatever it is given, and comes back after every loss of its connection."""

    url: str
    name: str
    token: str
    folder: Path
    max_jobs: int = 2
    labels: tuple[str, ...] = ("sim",)
    held: dict[tuple[str, int], Path] = field(default_factory=dict)
    connections: int = 0

    def register(self) -> None:
        """Make an identity and spend the token."""
        self.identity = create_identity()
        body = {
            "token": self.token,
            "name": self.name,
            "identity": self.identity.public.to_json(),
            "inventory": to_json(INVENTORY),
            "labels": list(self.labels),
            "max_jobs": self.max_jobs,
        }
        answer = httpx.post(f"{self.url}/api/v1/agents/register", json=body, timeout=60)
        assert answer.status_code == 201, answer.text
        self.id = answer.json()["agent"]

    async def run(self) -> None:
        """Connect again and again until cancelled."""
        url = self.url.replace("http", "ws") + "/api/v1/agent"
        while True:
            try:
                async with connect(url, compression=None, max_size=8 << 20, proxy=None) as socket:
                    self.connections += 1
                    await self._converse(socket)
            except* (OSError, WebSocketException, WireError, TimeoutError):
                pass  # what a daemon does too: again
            await asyncio.sleep(_RETRY_SECONDS)

    async def _converse(self, socket: ClientConnection) -> None:
        self.protocol = AgentProtocol(self.id, "flow-agent/test", self._sign)
        self.protocol.hello()
        await self._flush(socket)
        async with asyncio.TaskGroup() as tasks:
            beating = tasks.create_task(self._beat(socket))
            async for frame in socket:
                for message in self.protocol.receive_text(str(frame)):
                    self._hear(message)
                self._ship()
                await self._flush(socket)
            beating.cancel()

    async def _beat(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            if self.protocol.is_ready:
                self.protocol.heartbeat(self._held(), {})
                await self._flush(socket)

    def _hear(self, message: m.ServerMessage) -> None:
        match message:
            case m.Welcome():
                self.protocol.ready(m.Ready(INVENTORY, (), self.max_jobs, self._held()))
            case m.Assign():
                self.held[message.job, message.lease] = self._work(message)
                self.protocol.accept(message.job, message.lease)
            case m.Release() | m.Revoke():
                self.held.pop((message.job, message.lease), Path()).unlink(missing_ok=True)

    def _ship(self) -> None:
        """The next piece of each journal: one at a time, so that a fault may come between any two."""
        for (job, lease), file in self.held.items():
            offset = self.protocol.next_offset(job, lease)
            if offset is not None:
                with file.open("rb") as journal:
                    journal.seek(offset)
                    piece = journal.read(min(_PIECE_BYTES, self.protocol.room_bytes))
                if piece:
                    self.protocol.ship(job, lease, offset, piece)

    def _work(self, assign: m.Assign) -> Path:
        file = self.folder / f"{assign.job}-{assign.lease}"
        writer = JournalWriter(file)
        writer.append(Opened(assign.job, assign.lease, 1_800_000_000_000, {"kernel": "6.8.0"}))
        writer.append(StepChanged(0, "print", "Print", "running", 1_800_000_000_000))
        for line in lines_of(assign.job):
            writer.append(Log(0, 1_800_000_001_000, f"{line}\n".encode()))
        writer.append(Closed(1_800_000_009_000, JobResult(Conclusion.SUCCESS)))
        writer.sync()
        writer.close()
        return file

    def _held(self) -> tuple[m.HeldJob, ...]:
        return tuple(
            m.HeldJob(job, lease, file.stat().st_size, is_running=False)
            for (job, lease), file in self.held.items()
        )

    def _sign(self, challenge: m.Challenge) -> bytes:
        return self.identity.sign(
            challenge_message(
                server=challenge.server, agent_id=self.id, nonce=challenge.nonce, version=challenge.version
            )
        )

    async def _flush(self, socket: ClientConnection) -> None:
        for frame in self.protocol.outgoing():
            await socket.send(frame)


class AgentsThread:
    """Runs agents in a thread of their own. Use as a context manager."""

    def __init__(self, agents: Sequence[FleetAgent]) -> None:
        self._agents = agents
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join()

    def _run(self) -> None:
        async def main() -> None:
            async with asyncio.TaskGroup() as tasks:
                for agent in self._agents:
                    tasks.create_task(agent.run())

        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:

            async def start() -> None:
                self._main = asyncio.create_task(main())
                await asyncio.wait([self._main])

            runner.run(start())
