"""Simulated agents: the real protocol over real websockets, in one process; jobs end as soon as they are accepted."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from websockets.asyncio.client import ClientConnection, connect

from agent.journal.format import Closed, Opened, StepChanged, encode
from agent.journal.magic import MAGIC
from agent.seal.identity import Identity, challenge_message, create_identity
from agent.spec.outcome import Conclusion, JobResult
from agent.spec.resources import Inventory, to_json
from agent.wire import messages as m
from agent.wire.agent_side import AgentProtocol

INVENTORY = Inventory("simulated", "Linux", "12", "X64", "6.1", "a cpu", 64, 1 << 38)
FIGURES = {
    "time": 1.0,
    "cpu_percent": 3.5,
    "memory_used_bytes": 1 << 30,
    "disk_free_bytes": 1 << 40,
    "gpus": [],
}
_counter = itertools.count()


@dataclass
class Tally:
    """What the fleet has seen; `changed` is set at each of them."""

    released: int = 0
    ready: int = 0

    def __post_init__(self) -> None:
        self.changed = asyncio.Event()


class SimulatedAgent:
    """One agent: registers, connects, takes whatever it is given."""

    def __init__(self, url: str, agent: str, identity: Identity, tally: Tally) -> None:
        self._url = url
        self._agent = agent
        self._identity = identity
        self._tally = tally
        self._protocol = AgentProtocol(agent, "flow-agent/bench", self._sign)

    async def live(self, max_jobs: int) -> None:
        """Connect and obey until cancelled."""
        address = self._url.replace("http", "ws", 1) + "/api/v1/agent"
        async with connect(
            address, compression=None, max_size=8 << 20, ping_interval=None, proxy=None
        ) as socket:
            self._protocol.hello()
            await self._flush(socket)
            beat = None
            try:
                async for frame in socket:
                    assert isinstance(frame, str)
                    for message in self._protocol.receive_text(frame):
                        if isinstance(message, m.Welcome):
                            self._protocol.ready(m.Ready(INVENTORY, ("sim",), max_jobs))
                            beat = asyncio.create_task(self._beat(socket, message.heartbeat_seconds))
                            self._tally.ready += 1
                        self._obey(message)
                    await self._flush(socket)
            finally:
                if beat is not None:
                    beat.cancel()

    def _obey(self, message: m.ServerMessage) -> None:
        if isinstance(message, m.Assign):
            self._protocol.accept(message.job, message.lease)
            self._protocol.ship(message.job, message.lease, 0, _journal(message))
        elif isinstance(message, m.Release):
            self._tally.released += 1
            self._tally.changed.set()

    async def _beat(self, socket: ClientConnection, seconds: float) -> None:
        with contextlib.suppress(Exception):  # the connection's end is the other task's business
            while True:
                await asyncio.sleep(seconds)
                self._protocol.heartbeat((), FIGURES)
                await self._flush(socket)

    async def _flush(self, socket: ClientConnection) -> None:
        for frame in self._protocol.outgoing():
            await socket.send(frame)

    def _sign(self, challenge: m.Challenge) -> bytes:
        return self._identity.sign(
            challenge_message(
                server=challenge.server,
                agent_id=self._agent,
                nonce=challenge.nonce,
                version=challenge.version,
            )
        )


async def register_fleet(client: httpx.AsyncClient, count: int, max_jobs: int) -> list[tuple[str, Identity]]:
    """Register so many agents: their identifiers and keys."""
    made = await client.post("/api/v1/registration-tokens", json={"uses": count})
    token = made.raise_for_status().json()["token"]
    fleet = []
    for _ in range(count):
        identity = create_identity()
        body = {
            "token": token,
            "name": f"sim-{next(_counter)}",
            "identity": identity.public.to_json(),
            "inventory": to_json(INVENTORY),
            "labels": ["sim"],
            "max_jobs": max_jobs,
        }
        answer = await client.post("/api/v1/agents/register", json=body)
        fleet.append((answer.raise_for_status().json()["agent"], identity))
    return fleet


async def start_fleet(
    url: str, fleet: Sequence[tuple[str, Identity]], tally: Tally, max_jobs: int
) -> list["asyncio.Task[None]"]:
    """Connect all of them, a few at a time; the tasks end when they are cancelled."""
    tasks = []
    for place, (agent, identity) in enumerate(fleet):
        tasks.append(asyncio.create_task(SimulatedAgent(url, agent, identity, tally).live(max_jobs)))
        if place % 20 == 19:
            while tally.ready < place - 20:
                _raise_if_any_failed(tasks)
                await asyncio.sleep(0.01)
    while tally.ready < len(fleet):
        _raise_if_any_failed(tasks)
        await asyncio.sleep(0.01)
    return tasks


def _raise_if_any_failed(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        if task.done():
            task.result()


def _journal(assign: m.Assign) -> bytes:
    """What a job of one step leaves."""
    begun, ended = 1_800_000_000_000, 1_800_000_001_000
    records = (
        Opened(assign.job, assign.lease, begun, json.loads('{"cpu":"a cpu","gpus":[]}')),
        StepChanged(0, "__run", "Run true", "running", begun),
        StepChanged(
            0,
            "__run",
            "Run true",
            "completed",
            ended,
            outcome=Conclusion.SUCCESS,
            conclusion=Conclusion.SUCCESS,
            seconds=1.0,
        ),
        Closed(ended, JobResult(Conclusion.SUCCESS)),
    )
    return MAGIC + b"".join(encode(record) for record in records)
