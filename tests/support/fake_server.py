"""A server for agents, over a real socket: the real protocol, a store in memory, and faults as context managers."""

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from agent.daemon.state import Registration, StateFolder
from agent.ids import make_id
from agent.journal.format import Closed, Log, decode
from agent.seal.identity import PublicIdentity, challenge_message, create_identity, verify
from agent.spec.job import JobSpec
from agent.spec.outcome import JobResult
from agent.wire import messages as m
from agent.wire.codec import MAX_FRAME_BYTES
from agent.wire.errors import WireError
from agent.wire.server_side import Authenticated, ConnectionTerms, Event, KnownAgent, ServerProtocol
from support.lab import PATIENCE_SECONDS
from support.wire import job_spec

SERVER_ID = "server_of_the_tests"


class Talk:
    """One agent's connection."""

    def __init__(self, socket: ServerConnection, terms: ConnectionTerms, number: int) -> None:
        self.socket = socket
        self.protocol = ServerProtocol(SERVER_ID, number.to_bytes(32, "big"), terms)
        self.agent = ""

    async def flush(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            for frame in self.protocol.outgoing():
                await self.socket.send(frame)
        if self.protocol.is_closed:
            await self.socket.close()


class FakeServer:
    """Knows agents by their public keys, leases jobs, stores journals, releases what is complete."""

    def __init__(self, terms: ConnectionTerms) -> None:
        self.terms = terms
        self.known: dict[str, tuple[str, PublicIdentity]] = {}
        self.talks: list[Talk] = []
        self.heard: list[Event] = []
        self.leases: dict[str, int] = {}
        self.journals: dict[tuple[str, int], bytes] = {}
        self.generations: dict[str, int] = {}
        self.releases = True
        self.holds_acks = False  # journal bytes are stored and not acknowledged
        self.holds_word = False  # accepted jobs are not told to begin
        self.documents: dict[str, bytes] = {}  # of long events, by job
        self.parts_left = 1 << 30  # so many are sent before the server falls silent about them
        self._server: Server | None = None
        self._port = 0
        self._news = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        self._server = await serve(
            self._talk, "127.0.0.1", self._port, compression=None, max_size=MAX_FRAME_BYTES, close_timeout=0.2
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def register(self, state: StateFolder, **changes: object) -> Registration:
        """Put a registration with this server into `state`, as `agent register` would."""
        identity = create_identity()
        state.make()
        identity.save(state.identity)
        agent = make_id("agent", len(self.known).to_bytes(13, "big"))
        self.known[agent] = ("box", identity.public)
        registration = Registration(agent, SERVER_ID, self.url, "box", **changes)
        state.save_registration(registration)
        return registration

    # What tests ask

    async def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until `condition` holds; it is looked at whenever something was heard. Raises TimeoutError, in the end."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._news:
                await self._news.wait_for(condition)
        except TimeoutError:
            jobs = (
                f"{job}: {self.result(job, lease)} {self.lines(job, lease)}" for job, lease in self.journals
            )
            raise TimeoutError("this did not come; what is known of the jobs: " + "; ".join(jobs)) from None

    async def wait_ready(self) -> Talk:
        """The connection of an agent that is at work now."""
        await self.wait_for(self._working)
        return self._working()[-1]

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.heard)

    def output(self, job: str, lease: int = 1) -> bytes:
        """What the job printed, as far as it is stored; each byte was stored once or `decode` fails."""
        records = decode(self.journals.get((job, lease), b""))
        return b"".join(record.data for _end, record in records if isinstance(record, Log))

    def lines(self, job: str, lease: int = 1) -> list[bytes]:
        return self.output(job, lease).splitlines()

    def result(self, job: str, lease: int = 1) -> JobResult | None:
        last = None
        for _end, record in decode(self.journals.get((job, lease), b"")):
            last = record
        return last.result if isinstance(last, Closed) else None

    async def assign(
        self,
        job: str,
        *scripts: str,
        lease: int = 1,
        sealed: Mapping[str, bytes] | None = None,
        **more: object,
    ) -> None:
        await self.assign_spec(job_spec(job, *scripts), lease, sealed or {}, **more)

    async def assign_spec(
        self, spec: JobSpec, lease: int, sealed: Mapping[str, bytes], **more: object
    ) -> None:
        talk = await self.wait_ready()
        self.leases[spec.job] = lease
        talk.protocol.assign(m.Assign(spec.job, lease, spec, sealed, **more))
        await talk.flush()

    async def say(self, verb: str, *arguments: object) -> None:
        """Have the current connection's protocol say something."""
        talk = await self.wait_ready()
        getattr(talk.protocol, verb)(*arguments)
        await talk.flush()

    # Faults

    @contextlib.asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """All connections are reset, and nobody listens."""
        for talk in self.talks:
            talk.socket.transport.abort()
        await self.close()
        yield
        await self.open()

    async def cut(self) -> None:
        """The connections are reset; new ones are welcome."""
        for talk in self.talks:
            talk.socket.transport.abort()

    @contextlib.contextmanager
    def half_open(self) -> Iterator[None]:
        """Nothing more is read from the connections that there are: not even pings are answered."""
        talks = [talk for talk in self.talks if not talk.socket.transport.is_closing()]
        for talk in talks:
            talk.socket.transport.pause_reading()
        yield
        for talk in talks:
            if not talk.socket.transport.is_closing():
                talk.socket.transport.resume_reading()

    async def send_garbage(self) -> None:
        talk = await self.wait_ready()
        await talk.socket.send('{"kind": "garbage"}')

    # The server's side of a connection

    def _working(self) -> list[Talk]:
        return [talk for talk in self.talks if talk.protocol.phase == "ready"]

    async def _talk(self, socket: ServerConnection) -> None:
        talk = Talk(socket, self.terms, len(self.talks) + 1)
        self.talks.append(talk)
        try:
            async for frame in socket:
                receive = (
                    talk.protocol.receive_text if isinstance(frame, str) else talk.protocol.receive_bytes
                )
                for event in receive(frame):
                    await self._handle(talk, event)
                await talk.flush()
        except (ConnectionClosed, WireError):
            await talk.flush()
        finally:
            talk.protocol.reject("shutting_down", "the connection was lost")
            async with self._news:
                self._news.notify_all()

    async def _handle(self, talk: Talk, event: Event) -> None:
        match event:
            case m.Hello():
                talk.protocol.challenge(self._find(event.agent))
            case Authenticated():
                talk.agent = event.agent
                await self._replace_others(talk)
            case m.Ready():
                self.generations[talk.agent] = event.generation
                for held in event.held:
                    self._answer_held(talk, held)
            case m.Accept() if talk.protocol.tells_begin and not self.holds_word:
                talk.protocol.acknowledge(event.job, event.lease, 0)
            case m.Refuse():
                self.leases.pop(event.job, None)
            case m.Goodbye():
                del self.known[talk.agent]
            case m.EventWanted() if self.parts_left:
                self.parts_left -= 1
                text = self.documents[event.job][event.offset :][: m.EVENT_PART_BYTES]
                data = zlib.compress(text) if text else b""
                talk.protocol.send_part(m.EventPart(event.job, event.lease, event.offset, data))
            case m.JournalChunk():
                self._store(talk, event)
        self.heard.append(event)
        async with self._news:
            self._news.notify_all()

    def _find(self, agent: str) -> KnownAgent | None:
        if agent not in self.known:
            return None
        name, public = self.known[agent]

        def is_signed(challenge: m.Challenge, signature: bytes) -> bool:
            message = challenge_message(
                server=challenge.server, agent_id=agent, nonce=challenge.nonce, version=challenge.version
            )
            return verify(public, message, signature)

        return KnownAgent(name, is_signed, self.generations.get(agent, 0))

    async def _replace_others(self, talk: Talk) -> None:
        for other in self.talks:
            if other is not talk and other.agent == talk.agent and not other.protocol.is_closed:
                other.protocol.reject("replaced", "this agent connected again")
                await other.flush()

    def _answer_held(self, talk: Talk, held: m.HeldJob) -> None:
        if self.leases.get(held.job) == held.lease:
            stored = self.journals.setdefault((held.job, held.lease), b"")
            talk.protocol.resume(held.job, held.lease, len(stored))
            self._release_if_complete(talk, held.job, held.lease)
        else:
            talk.protocol.revoke(held.job, held.lease, "given to another agent")

    def _store(self, talk: Talk, chunk: m.JournalChunk) -> None:
        stored = self.journals.setdefault((chunk.job, chunk.lease), b"")
        assert self.leases[chunk.job] == chunk.lease
        assert chunk.offset == len(stored)
        self.journals[chunk.job, chunk.lease] = stored + chunk.data
        if not self.holds_acks:
            talk.protocol.acknowledge(chunk.job, chunk.lease, chunk.offset + len(chunk.data))
        self._release_if_complete(talk, chunk.job, chunk.lease)

    def _release_if_complete(self, talk: Talk, job: str, lease: int) -> None:
        if self.releases and self.result(job, lease) is not None:
            talk.protocol.release(job, lease)


@contextlib.asynccontextmanager
async def fake_server(
    *, heartbeat_seconds: float = 0.2, window_bytes: int = 1 << 20
) -> AsyncIterator[FakeServer]:
    server = FakeServer(ConnectionTerms(heartbeat_seconds, window_bytes))
    await server.open()
    try:
        yield server
    finally:
        await server.close()


def job_folders(state: StateFolder) -> list[Path]:
    """What lies in the agent's folder of jobs."""
    return sorted(state.jobs.iterdir()) if state.jobs.exists() else []
