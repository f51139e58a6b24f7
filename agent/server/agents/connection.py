"""An agent's connection: four tasks around the protocol of `agent.wire.server_side`.

    reader    frames -> events -> leases, journals
    batches   journals -> made durable -> ack -> rows -> release      (`agent.server.agents.journal_batches`)
    watcher   rows that changed, here or at another server -> cancel, revoke, rejected
    writer    the queue of frames -> the socket

While the database is away the first three wait for it, and the agent with them: nothing that it says is lost.

The protocol object belongs to all three and is used without a pause between a verb and `_flush`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from agent.errors import AgentError, DamagedError, StaleLeaseError
from agent.server.agents.attachments import AgentSessions, SessionEvent
from agent.server.agents.heartbeats import Heartbeats
from agent.server.agents.job_records import JobRecords
from agent.server.agents.journal_batches import JournalBatches
from agent.server.agents.leases import Leases
from agent.server.agents.peers import Peers
from agent.server.agents.registry import Registry
from agent.server.agents.scheduler import ReadyAgent
from agent.server.data.journals import Journals
from agent.server.events.live import Bus, agent_topic
from agent.server.store.forms import gpus_of, values_of
from agent.server.store.leases import LOST_OFFER
from agent.server.store.outage import outlast
from agent.wire import messages as m
from agent.wire.errors import IllegalVerbError, WireError
from agent.wire.lease import LeaseState
from agent.wire.server_side import AgentEvent, Authenticated, Event, ServerProtocol

log = logging.getLogger("agent.server.agents.hub")

_MOST_QUEUED_FRAMES = 1024
_MOST_FRAMES_AHEAD = 32  # of those that wait, when a session adds one: acks and cancels come soon after
_MOST_BEFORE_PART = 2  # and when a part of an event does: each has some hundred KiB
_REVIEW_SECONDS = 3600.0
_SILENT_HEARTBEATS = 4  # after so many missed ones the socket counts as half-open


class Socket(Protocol):
    """What is asked of a websocket."""

    async def receive(self) -> str | bytes | None:
        """The next frame; None when the other side has closed."""
        ...

    async def send(self, frame: str | bytes) -> None:
        """Send a text frame, or a binary one."""
        ...

    async def close(self) -> None:
        """Say that nothing more comes; `receive` gives None soon."""
        ...


class AgentConnection:
    """A connection from its first frame to its end; `serve` runs it."""

    def __init__(
        self,
        socket: Socket,
        protocol: ServerProtocol,
        *,
        registry: Registry,
        leases: Leases,
        journals: Journals,
        job_records: JobRecords,
        peers: Peers,
        heartbeats: Heartbeats,
        bus: Bus,
        heartbeat_seconds: float,
        handshake_seconds: float,
        on_proven: Callable[[str, "AgentConnection"], None],
        on_ready: Callable[[], None],
        on_bytes: Callable[[int], None],
        on_offers: Callable[[str], Awaitable[None]],
        load_event_part: Callable[[str, int], Awaitable[bytes]],
    ) -> None:
        self.ready: ReadyAgent | None = None
        self.assigned: set[tuple[str, int]] = set()  # what was sent on this connection
        # Of that, what was not told to begin yet: is it a node of a gang?
        self._waiting: dict[tuple[str, int], bool] = {}
        self._handed_on: dict[
            tuple[str, int], str
        ] = {}  # jobs that wait elsewhere, and what the agent says of that
        self._socket = socket
        self._protocol = protocol
        self._registry = registry
        self._leases = leases
        self._journals = journals
        self._peers = peers
        self._heartbeats = heartbeats
        self._bus = bus
        self._silence_seconds = heartbeat_seconds * _SILENT_HEARTBEATS
        self._handshake_seconds = handshake_seconds
        self._on_proven = on_proven
        self._on_ready = on_ready
        self._on_bytes = on_bytes
        self._on_offers = on_offers
        self._load_event_part = load_event_part
        self._frames: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._has_sent = asyncio.Event()
        self.sessions = AgentSessions(protocol, self._flush, self._wait_for_line)
        self._batches = JournalBatches(protocol, journals, job_records, self._flush)
        self._life: asyncio.Timeout | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._number: int | None = None  # of this connection among the agent's
        self._software = ""
        self._said: m.Ready | None = None
        self._cancelled: set[tuple[str, int, bool]] = set()  # job, lease, whether it was to make place only
        self._proven = asyncio.Event()

    @property
    def agent(self) -> str:
        """Whose connection this says it is; proven once `ready` is set."""
        return self._protocol.agent

    @property
    def forming(self) -> list[tuple[str, int]]:
        """The nodes of gangs that have not been told to begin."""
        return [lease for lease, is_node in self._waiting.items() if is_node]

    async def serve(self) -> None:
        """Run the connection until one side ends it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as self._life, asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write())
                tasks.create_task(self._batches.run())
                self._watcher = tasks.create_task(self._watch())
                try:
                    await self._read()
                finally:
                    self._end_soon()

    async def leave(self) -> None:
        """The connection is over, as far as the other servers know of it."""
        if self._number is not None:
            await self._peers.disconnect(self.agent, self._number)

    def _end_soon(self) -> None:
        """What is queued is still sent and what has come is still stored, within a few seconds."""
        self.ready = None
        self.sessions.end_all("the connection to the agent was lost; the job goes on")
        self._batches.finish()
        self._frames.put_nowait(None)
        if self._watcher is not None:
            self._watcher.cancel()
        if self._life is not None and self._life.when() is None:
            self._life.reschedule(asyncio.get_running_loop().time() + self._handshake_seconds)

    # What others ask for

    def assign(self, message: m.Assign) -> bool:
        """Offer a job; False when the connection is not ready for one."""
        if self.ready is None or self._protocol.is_closed:
            return False
        if (message.job, message.lease) in self.assigned:
            return True
        self.assigned.add((message.job, message.lease))
        self._protocol.assign(message)
        if message.node is not None or self._protocol.tells_begin:
            self._waiting[message.job, message.lease] = message.node is not None
        self._flush()
        return True

    def begin(self, job: str, lease: int) -> None:
        """A job may begin: nothing of it is stored yet, and that is all the agent waits to hear."""
        self._waiting.pop((job, lease), None)
        self._protocol.acknowledge(job, lease, 0)
        self._flush()

    def cancel(self, job: str, lease: int, reason: str, *, interrupts: bool = False) -> None:
        """Ask for the job's end, once on this connection, and not before it is clear which jobs are on it."""
        if (job, lease) in self._waiting:
            return  # it has not begun; it is told as soon as it has
        if self.ready is not None and (job, lease, interrupts) not in self._cancelled:
            self._cancelled.add((job, lease, interrupts))
            self._protocol.cancel(job, lease, reason, interrupts=interrupts)
            self._flush()

    def revoke(self, job: str, lease: int, reason: str) -> None:
        """The lease is over."""
        self._waiting.pop((job, lease), None)
        self._protocol.revoke(job, lease, reason)
        self._flush()

    def reject(self, code: str, message: str) -> None:
        """End the connection with a reason."""
        self.ready = None
        self._protocol.reject(code, message)
        self._flush()

    # Reader

    async def _read(self) -> None:
        try:
            while not self._protocol.is_closed:
                async with asyncio.timeout(self._patience):
                    frame = await self._socket.receive()
                if frame is None:
                    return
                for event in self._receive(frame):
                    if isinstance(event, SessionEvent):
                        self.sessions.hear(event)
                    else:
                        await outlast(partial(self._handle, event), "an agent's messages")
                self._flush()
        except TimeoutError:
            log.info("agent %s: nothing was heard for %g s, closing", self.agent, self._patience)
        except WireError as error:
            log.warning("agent %s broke the protocol: %s", self.agent, error)
            self._flush()

    @property
    def _patience(self) -> float:
        return self._handshake_seconds if self.ready is None else self._silence_seconds

    def _receive(self, frame: str | bytes) -> tuple[Event, ...]:
        if isinstance(frame, str):
            return self._protocol.receive_text(frame)
        return self._protocol.receive_bytes(frame)

    async def _handle(self, event: AgentEvent) -> None:
        match event:
            case m.Hello():
                await self._greet(event)
            case Authenticated():
                await self._enter(event.agent)
            case m.Ready():
                await self._become_ready(event)
            case m.Accept() | m.Refuse():
                await self._take_answer(event)
            case m.EventWanted():
                await self._send_part(event)
            case m.JournalChunk():
                await self._take_chunk(event)
            case m.Heartbeat():
                self._heartbeats.beat(self.agent, event)
                await self._note_waiting(event.held)
            case m.Drain() | m.NewInventory():
                await self._take_news(event)
            case m.Goodbye():
                await self._leases.forsake(self.agent, set(), "its agent has unregistered", self._number)
                await self._registry.remove(self.agent)
                self._heartbeats.forget(self.agent)

    async def _greet(self, hello: m.Hello) -> None:
        self._software = hello.software
        if await self._peers.runs_elsewhere(hello.agent, hello.boot):
            self._protocol.reject(
                "running_elsewhere",
                "this agent is at work on another machine, or before this one's last start: is this a copy of it?",
            )
            return
        self._protocol.challenge(await self._registry.find_known(hello.agent))

    async def _enter(self, agent: str) -> None:
        """From now on only this connection of the agent counts."""
        self._proven.set()
        self._number = await self._peers.connect(agent)
        if self._number is None:
            self._protocol.reject("unknown_agent", "the agent was removed")
        else:
            self._on_proven(agent, self)

    async def _become_ready(self, ready: m.Ready) -> None:
        self._said = ready
        row = await self._registry.note_ready(self.agent, self._software, ready)
        if row is None:
            self._protocol.reject("unknown_agent", "the agent was removed")
            return
        row = replace(row, protocol=self._protocol.version)
        for held in ready.held:
            await self._resume(held)
        holding = {(held.job, held.lease) for held in ready.held}
        await self._leases.forsake(self.agent, holding, LOST_OFFER, self._number)
        if self._protocol.is_closed or not await self._tell_ready(row):
            return  # replaced meanwhile: what the newer connection says counts
        self.ready = row
        self._flush()
        await self._review()
        await self.refresh()  # what an admin said while the agent was becoming ready
        self._on_ready()

    async def _tell_ready(self, ready: ReadyAgent) -> bool:
        return self._number is not None and await self._peers.note_ready(self.agent, self._number, ready)

    async def _note_waiting(self, held: Sequence[m.HeldJob]) -> None:
        """What the agent's jobs wait for where it has handed them to; said once."""
        said = {(job.job, job.lease): job.waiting for job in held if job.waiting}
        for key in {*said, *self._handed_on}:
            if said.get(key, "") != self._handed_on.get(key, ""):
                with suppress(StaleLeaseError):  # it has ended, or is another's
                    await self._leases.note_waiting(*key, self.agent, said.get(key, ""))
        self._handed_on = said

    async def _resume(self, held: m.HeldJob) -> None:
        try:
            state = await self._leases.resume(held.job, held.lease, self.agent)
        except StaleLeaseError as error:
            self._protocol.revoke(held.job, held.lease, error.what)
            return
        if state is LeaseState.RELEASED:
            self._protocol.release(held.job, held.lease)
            return
        if state is LeaseState.REVOKED:
            self._protocol.revoke(held.job, held.lease, "the job was taken back before it began")
            return
        (size,) = await self._journals.sync([(held.job, held.lease)])
        try:
            self._protocol.resume(held.job, held.lease, size)
        except IllegalVerbError:
            reason = "its agent has lost a part of the journal that it had shipped"
            self._protocol.revoke(held.job, held.lease, reason)
            await self._leases.give_up(held.job, held.lease, self.agent, reason)
            return
        self._batches.mark(held.job, held.lease)

    async def _take_answer(self, answer: m.Accept | m.Refuse) -> None:
        if isinstance(answer, m.Accept):
            await self._accept(answer)
        else:
            await self._refuse(answer)

    async def _accept(self, accept: m.Accept) -> None:
        try:
            await self._leases.accept(accept.job, accept.lease, self.agent)
        except StaleLeaseError as error:
            self._protocol.revoke(accept.job, accept.lease, error.what)
            return
        if self._waiting.get((accept.job, accept.lease)) is False:
            self.begin(accept.job, accept.lease)

    async def _refuse(self, refuse: m.Refuse) -> None:
        self._waiting.pop((refuse.job, refuse.lease), None)
        try:
            await self._leases.refuse(refuse.job, refuse.lease, self.agent, refuse.reason)
        except StaleLeaseError:
            return  # it was taken back meanwhile: what the refusal asks for has happened

    async def _send_part(self, wanted: m.EventWanted) -> None:
        await self._wait_for_line(_MOST_BEFORE_PART)
        data = await self._load_event_part(wanted.job, wanted.offset // m.EVENT_PART_BYTES)
        self._protocol.send_part(m.EventPart(wanted.job, wanted.lease, wanted.offset, data))

    async def _take_chunk(self, chunk: m.JournalChunk) -> None:
        try:
            await self._journals.append(chunk.job, chunk.lease, chunk.offset, chunk.data)
        except DamagedError as error:
            raise self._broken(error) from None
        self._on_bytes(len(chunk.data))
        self._batches.mark(chunk.job, chunk.lease)

    async def _take_news(self, news: m.Drain | m.NewInventory) -> None:
        """Something that `ready` has said is no longer so: from now on jobs are given out by what is."""
        if isinstance(news, m.Drain):
            said: dict[str, Any] = {"is_draining": news.is_draining}
            await self._registry.note_draining(self.agent, is_draining=news.is_draining)
        else:
            said = {"inventory": news.inventory, "labels": news.labels}
            await self._registry.note_inventory(self.agent, news.inventory)
        if self._said is not None:
            self._said = replace(self._said, **said)
        await self.refresh()

    async def refresh(self) -> None:
        """The agent or an admin of the server has a new word on what it may be given."""
        if self.ready is None or self._said is None:
            return
        described = await self._registry.describe(self.agent, self._said)
        if described is None or self.ready is None:
            return
        now = replace(described, protocol=self._protocol.version)
        if now == self.ready:
            return
        self.ready = now
        await self._tell_ready(now)
        self._on_ready()

    def _broken(self, error: AgentError) -> WireError:
        wire_error = WireError("bad_message", error.what, where=error.where)
        self._protocol.reject(wire_error.code, str(wire_error))
        return wire_error

    # Watcher

    async def _watch(self) -> None:
        await self._proven.wait()
        with self._bus.listen(agent_topic(self.agent)) as listener:
            while True:
                is_news = await listener.wait(_REVIEW_SECONDS)
                await outlast(self._review, "the reviews of leases")
                if is_news:
                    await outlast(self.refresh, "the reviews of an agent")

    async def _review(self) -> None:
        """What the rows say of this agent that it may not know: that it was removed or is connected elsewhere, and
        which of its leases are over, and what people have answered. Cancels are the dispatcher's.
        """
        if self._number is None:
            return
        news = await self._leases.read_news(self.agent, self._protocol.leases)
        if news.epoch is None:
            self.reject("unknown_agent", "the agent was removed or replaced")
        elif news.epoch != self._number:
            self.reject("replaced", "this agent has connected a second time")
        for (job, lease), reason in news.over.items():
            self.revoke(job, lease, reason)
        for form in news.answered:
            answer = m.StepAnswer(form.step, form.answered_by or "", values_of(form), gpus_of(form))
            self._protocol.answer(form.job, form.lease, answer)
        self._flush()
        if self.ready is not None:
            await self._on_offers(self.agent)

    # Writer

    def _flush(self) -> None:
        for frame in self._protocol.outgoing():
            self._frames.put_nowait(frame)
        if self._frames.qsize() > _MOST_QUEUED_FRAMES:
            log.warning("agent %s does not read what it is sent, closing", self.agent)
            self._end_soon()
        if self._protocol.is_closed:
            self._end_soon()

    async def _wait_for_line(self, most: int = _MOST_FRAMES_AHEAD) -> None:
        """Until few frames wait to be sent: what sessions bring holds up nothing else, nor does what is long fill the memory."""
        while self._frames.qsize() > most:
            self._has_sent.clear()
            await self._has_sent.wait()

    async def _write(self) -> None:
        while (frame := await self._frames.get()) is not None:
            await self._socket.send(frame)
            self._has_sent.set()
        await self._socket.close()
