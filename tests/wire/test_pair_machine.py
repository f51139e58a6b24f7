"""Both sides, a store and a network that loses connections and delivers late: bytes arrive once, in order, fenced.

The agent's disk holds a journal per (job, lease); the server's store appends a chunk only under the current lease and only
where the stored bytes end, which is all that it does beyond its protocol. Old connections stay half open: what was
under way on them may still arrive at any later time.
"""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.wire import Pair, job_id, job_spec, ready

from agent.errors import StaleLeaseError
from agent.wire import messages as m
from agent.wire.conversation import ConversationPhase
from agent.wire.lease import check
from agent.wire.server_side import Authenticated, Event

JOBS = [job_id(number) for number in range(3)]
WINDOW = 64


@dataclass
class Store:
    """The server's durable side."""

    lease: dict[str, int] = field(default_factory=dict)
    is_offered: dict[str, bool] = field(default_factory=dict)
    bytes_: dict[tuple[str, int], bytes] = field(default_factory=dict)
    late_under_old_lease: int = 0

    def append(self, chunk: m.JournalChunk) -> bool:
        try:
            check(self.lease[chunk.job], chunk.lease, job=chunk.job)
        except StaleLeaseError:
            self.late_under_old_lease += 1
            return False
        stored = self.bytes_.get((chunk.job, chunk.lease), b"")
        if chunk.offset != len(stored):
            return False
        self.bytes_[chunk.job, chunk.lease] = stored + chunk.data
        return True


class PairMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.disk: dict[tuple[str, int], bytes] = {}
        self.written: dict[tuple[str, int], bytes] = {}
        self.pair: Pair | None = None
        self.old: list[Pair] = []

    # The network

    @initialize()
    def connect(self) -> None:
        """A new connection; the old one, if any, is lost for the agent but half open for the server."""
        self.lose()
        self.pair = Pair(WINDOW)
        self.pair.agent.hello()
        self.pair.collect()

    @rule()
    def lose(self) -> None:
        if self.pair is not None:
            self.pair.to_agent.clear()
            self.old.append(self.pair)
            self.pair = None

    @precondition(lambda self: self.pair is None)
    @rule()
    def reconnect(self) -> None:
        self.connect()

    @precondition(lambda self: self.pair is not None and self.pair.to_server)
    @rule()
    def deliver_to_server(self) -> None:
        assert self.pair is not None
        self.serve(self.pair, self.pair.deliver_to_server())

    @precondition(lambda self: self.pair is not None and self.pair.to_agent)
    @rule()
    def deliver_to_agent(self) -> None:
        assert self.pair is not None
        for message in self.pair.deliver_to_agent():
            self.obey(self.pair, message)

    @precondition(lambda self: any(pair.to_server for pair in self.old))
    @rule(data=st.data())
    def deliver_late(self, data: st.DataObject) -> None:
        pair = data.draw(st.sampled_from([pair for pair in self.old if pair.to_server]))
        self.serve(pair, pair.deliver_to_server())

    # The server

    def serve(self, pair: Pair, events: tuple[Event, ...]) -> None:
        for event in events:
            match event:
                case m.Ready():
                    self.answer_held(pair, event)
                case m.Accept():
                    self.store.is_offered[event.job] = False
                case m.JournalChunk():
                    if self.store.append(event):
                        pair.server.acknowledge(event.job, event.lease, event.offset + len(event.data))
                case Authenticated() | m.Hello():
                    pass
                case _:
                    raise AssertionError(event)
        pair.collect()

    def answer_held(self, pair: Pair, message: m.Ready) -> None:
        for held in message.held:
            if self.store.lease[held.job] == held.lease:
                self.store.is_offered[held.job] = False
                pair.server.resume(
                    held.job, held.lease, len(self.store.bytes_.get((held.job, held.lease), b""))
                )
            else:
                pair.server.revoke(held.job, held.lease, "old")
        assert not pair.server.unanswered
        for job, lease in self.store.lease.items():
            if self.store.is_offered[job] and (job, lease) not in {(h.job, h.lease) for h in message.held}:
                pair.server.assign(m.Assign(job, lease, job_spec(job)))

    def server_is_ready(self) -> bool:
        return self.pair is not None and self.pair.server.phase is ConversationPhase.READY

    @precondition(server_is_ready)
    @rule(job=st.sampled_from(JOBS))
    def lease_out(self, job: str) -> None:
        """A first lease, or the job is taken away and leased again under the next number."""
        assert self.pair is not None
        before = self.store.lease.get(job, 0)
        self.store.lease[job] = before + 1
        self.store.is_offered[job] = True
        self.pair.server.revoke(job, before, "given up")
        self.pair.server.assign(m.Assign(job, before + 1, job_spec(job)))
        self.pair.collect()

    @precondition(server_is_ready)
    @rule(job=st.sampled_from(JOBS))
    def assign_again(self, job: str) -> None:
        assert self.pair is not None
        if self.store.is_offered.get(job):
            self.pair.server.assign(m.Assign(job, self.store.lease[job], job_spec(job)))
            self.pair.collect()

    # The agent

    def obey(self, pair: Pair, message: m.ServerMessage) -> None:
        match message:
            case m.Welcome():
                held = (m.HeldJob(job, lease, len(data), True) for (job, lease), data in self.disk.items())
                pair.agent.ready(ready(*held))
            case m.Assign():
                self.disk.setdefault((message.job, message.lease), b"")
                self.written.setdefault((message.job, message.lease), b"")
                pair.agent.accept(message.job, message.lease)
            case m.Revoke():
                self.disk.pop((message.job, message.lease), None)
            case m.Ack():
                pass
            case _:
                raise AssertionError(message)
        pair.collect()

    @precondition(lambda self: self.disk)
    @rule(data=st.data(), text=st.binary(min_size=1, max_size=40))
    def write(self, data: st.DataObject, text: bytes) -> None:
        key = data.draw(st.sampled_from(sorted(self.disk)))
        self.disk[key] += text
        self.written[key] = self.disk[key]

    @precondition(lambda self: self.pair is not None and self.pair.agent.phase is ConversationPhase.READY)
    @rule(most=st.integers(1, 50))
    def ship(self, most: int) -> None:
        assert self.pair is not None
        for (job, lease), journal in self.disk.items():
            start = self.pair.agent.next_offset(job, lease)
            if start is not None:
                end = min(len(journal), start + min(most, self.pair.agent.room_bytes))
                if end > start:
                    self.pair.agent.ship(job, lease, start, journal[start:end])
        self.pair.collect()

    # What always holds

    @invariant()
    def what_is_stored_is_the_beginning_of_what_was_written(self) -> None:
        for key, stored in self.store.bytes_.items():
            assert self.written[key].startswith(stored)

    @invariant()
    def the_window_is_never_exceeded(self) -> None:
        if self.pair is not None:
            assert self.pair.agent.room_bytes >= 0

    def teardown(self) -> None:
        """When the network holds at last, everything under a current lease arrives, and old leases are gone."""
        self.connect()
        is_moving = True
        while is_moving:
            is_moving = False
            while self.pair is not None and (self.pair.to_server or self.pair.to_agent):
                is_moving = True
                if self.pair.to_server:
                    self.deliver_to_server()
                else:
                    self.deliver_to_agent()
            assert self.pair is not None
            if self.pair.agent.phase is ConversationPhase.READY:
                self.ship(50)
                is_moving = is_moving or bool(self.pair.to_server)
        assert set(self.disk) == set(self.store.lease.items())
        for key, journal in self.disk.items():
            assert self.store.bytes_.get(key, b"") == journal


TestPairMachine = PairMachine.TestCase
TestPairMachine.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
