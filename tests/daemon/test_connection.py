"""The link and the shipper against a real socket with faults: cut, half open, garbage, acks that stay away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.daemon_process import wait_until
from support.fake_server import FakeServer, fake_server
from support.wire import INVENTORY, job_id, job_spec

from agent.daemon.connection import Link, RejectedError, websocket_url
from agent.daemon.executor import LocalExecutor
from agent.daemon.generation import Generation
from agent.daemon.jobs import JobTable
from agent.daemon.leases import HeldLeases
from agent.daemon.shipping import Shipper
from agent.daemon.signing import make_signer
from agent.daemon.state import StateFolder
from agent.errors import AgentError
from agent.job.launch.launcher import JobFolder, JobSettings, create_job_folder
from agent.journal.file import JournalWriter
from agent.journal.format import Log, Opened
from agent.seal.identity import load_identity
from agent.spec.job import UnknownWork
from agent.wire import messages as m

JOB, OTHER = job_id(1), job_id(2)
WINDOW = 4096


class RefusingLauncher:
    """Starts nothing: these tests write the journals themselves."""

    def __init__(self) -> None:
        self.has_begun = asyncio.Event()  # or was to

    async def launch(self, folder: JobFolder) -> int:
        self.has_begun.set()
        raise AgentError("this machine starts nothing")


class SlowDisk:
    """Storing a job waits until it `is_free`, of OTHER."""

    def __init__(self) -> None:
        self.is_busy = asyncio.Event()
        self.is_free = asyncio.Event()

    async def equip(self, settings: JobSettings, assign: m.Assign) -> JobSettings:
        if assign.job == OTHER:
            self.is_busy.set()
            await self.is_free.wait()
        return settings


class Agent:
    """Link, shipper and jobs as the daemon joins them."""

    def __init__(
        self,
        state: StateFolder,
        *,
        ping_seconds: float = 5,
        disk: SlowDisk | None = None,
        max_jobs: int = 1,
    ) -> None:
        settings = JobSettings(work_folder=state.path / "work")
        self.state = state
        self.launcher = RefusingLauncher()
        self.jobs = JobTable(
            state.jobs, settings, LocalExecutor(self.launcher, settings), disk and disk.equip
        )
        self.is_closed = False
        leases = HeldLeases(self.jobs, max_jobs=max_jobs, is_closed=lambda: self.is_closed)
        registration = state.load_registration()
        self.link = Link(
            registration,
            make_signer(registration, load_identity(state.identity).sign),
            make_ready=self.make_ready,
            obey=leases.obey,
            generation=Generation(state.generation),
            crew=(leases.take_offers, Shipper(self.jobs).run),
            random=lambda: 0.0,
            ping_seconds=ping_seconds,
        )

    async def make_ready(self) -> m.Ready:
        return m.Ready(INVENTORY, (), 1, self.jobs.describe_held())

    def write(self, job: str, *chunks: bytes, lease: int = 1) -> None:
        """A job folder whose journal holds `chunks`; its supervisor is gone and it was not buried yet."""
        settings = JobSettings(work_folder=self.state.path / "work")
        folder = create_job_folder(self.state.jobs, job_spec(job), lease, settings, {})
        folder.lock.touch()
        writer = JournalWriter(folder.journal)
        if writer.end <= 8:
            writer.append(Opened(job, lease, 1))
        for chunk in chunks:
            writer.append(Log(0, 1, chunk))
        writer.close()

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        self.jobs.adopt(has_rebooted=False)
        task = asyncio.create_task(self.link.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with fake_server(window_bytes=WINDOW) as fake:
        yield fake


@pytest.fixture
def agent(tmp_path: Path, server: FakeServer) -> Agent:
    state = StateFolder(tmp_path / "state")
    server.register(state)
    return Agent(state)


@pytest.fixture
def slow_agent(tmp_path: Path, server: FakeServer) -> tuple[Agent, SlowDisk]:
    """An agent that may have two jobs, and whose disk is slow for OTHER."""
    state = StateFolder(tmp_path / "state")
    server.register(state)
    server.holds_word = True
    disk = SlowDisk()
    return Agent(state, disk=disk, max_jobs=2), disk


async def test_what_was_written_while_nobody_was_connected_arrives_in_order(server, agent):
    chunks = [bytes([65 + index]) * 1000 for index in range(20)]
    agent.write(JOB, *chunks)
    server.leases[JOB] = 1
    async with agent.at_work():
        await server.wait_for(lambda: len(server.output(JOB)) == 20_000)
    assert server.output(JOB) == b"".join(chunks)


async def test_a_connection_that_breaks_in_the_middle_costs_nothing(server, agent):
    agent.write(JOB, *[bytes([index % 256]) * 1000 for index in range(200)])
    server.leases[JOB] = 1
    async with agent.at_work():
        for size in (20_000, 90_000, 150_000):
            await server.wait_for(lambda size=size: len(server.output(JOB)) > size)
            await server.cut()
        await server.wait_for(lambda: len(server.output(JOB)) == 200_000)
    assert server.count(m.Ready) >= 2


async def test_no_more_than_the_window_is_under_way_and_every_job_gets_a_share(server, agent):
    agent.write(JOB, b"x" * 50_000)
    agent.write(OTHER, b"y" * 1000)
    server.leases.update({JOB: 1, OTHER: 1})
    async with server_holding_acks(server), agent.at_work():
        await server.wait_for(lambda: sum(map(len, server.journals.values())) == WINDOW)
        assert server.count(m.JournalChunk) > 0
    async with agent.at_work():
        await server.wait_for(lambda: len(server.output(JOB)) == 50_000 and server.output(OTHER))


@contextlib.asynccontextmanager
async def server_holding_acks(server: FakeServer) -> AsyncIterator[None]:
    """Until the end nothing is acknowledged; the connection is cut then, so that both sides begin anew."""
    server.holds_acks = True
    yield
    server.holds_acks = False
    await server.cut()


async def test_acks_that_come_late_set_the_journal_moving_again(server, agent):
    agent.write(JOB, b"x" * 50_000)
    server.leases[JOB] = 1
    server.holds_acks = True
    async with agent.at_work():
        await server.wait_for(lambda: len(server.journals.get((JOB, 1), b"")) == WINDOW)
        server.holds_acks = False
        await server.say("acknowledge", JOB, 1, WINDOW)
        await server.wait_for(lambda: len(server.output(JOB)) == 50_000)


async def test_a_half_open_connection_is_noticed_and_made_anew(server, tmp_path):
    state = StateFolder(tmp_path / "state")
    server.register(state)
    agent = Agent(state, ping_seconds=0.1)
    async with agent.at_work():
        await server.wait_ready()
        with server.half_open():
            await server.wait_for(lambda: server.count(m.Ready) == 2)


async def test_garbage_from_the_server_ends_the_connection_and_not_the_agent(server, agent):
    async with agent.at_work():
        await server.send_garbage()
        await server.wait_for(lambda: server.count(m.Ready) == 2)
        assert agent.link.state in ("connecting", "connected")


async def test_what_answers_otherwise_is_named_and_tried_again(server, agent):
    async with agent.at_work():
        async with server.away():
            await wait_until(lambda: agent.link.problem)
        await server.wait_ready()
        await wait_until(lambda: agent.link.problem == "")


async def test_a_challenge_of_another_server_is_not_answered(server, agent):
    registration = agent.state.load_registration()
    signer = make_signer(registration, lambda _message: b"s" * 64)
    with pytest.raises(AgentError, match="not the server that this agent is registered with"):
        signer(m.Challenge(1, "another_server", b"n" * 32))


async def test_a_wrong_key_stops_the_agent(server, agent):
    server.register(StateFolder(agent.state.path.parent / "other"))
    (ours, other) = server.known
    server.known[ours] = server.known[other]
    with pytest.raises(RejectedError, match="did not accept this agent's signature"):
        await agent.link.run()


async def test_a_job_that_the_machine_can_not_start_ends_saying_so(server, agent):
    async with agent.at_work():
        await server.assign(JOB, "true")
        await server.wait_for(lambda: server.result(JOB))
    assert server.result(JOB).message.startswith("the job could not be started: this machine starts nothing")


async def test_a_job_that_is_not_wanted_is_refused_with_the_reason(server, agent):
    agent.is_closed = True
    async with agent.at_work():
        await server.assign(JOB, "true")
        await server.wait_for(lambda: server.count(m.Refuse))
    assert server.heard[-1] == m.Refuse(JOB, 1, "the agent takes no new jobs")


async def test_more_jobs_than_there_is_room_for_and_old_leases_are_refused(server, agent):
    settings = JobSettings(work_folder=agent.state.path / "work")
    create_job_folder(agent.state.jobs, job_spec(JOB), 2, settings, {})
    server.leases[JOB] = 2
    agent.jobs.start = never  # it waits for ever
    async with agent.at_work():
        await server.assign(OTHER, "true")
        await server.assign(JOB, "true", lease=1)
        await server.wait_for(lambda: server.count(m.Refuse) == 2)
    reasons = [event.reason for event in server.heard if isinstance(event, m.Refuse)]
    assert reasons == ["the agent has 1 of 1 jobs", "lease 1 is old"]


async def test_a_job_that_can_not_be_kept_is_refused_and_the_connection_stays(server, agent):
    async def stumble(assign: m.Assign) -> None:
        raise ValueError("embedded null byte " + "x" * 9000)

    agent.jobs.store = stumble
    async with agent.at_work():
        await server.assign(JOB, "true")
        await server.wait_for(lambda: server.count(m.Refuse))
        assert server.heard[-1].reason.startswith(f"{m.CANNOT_KEEP}: ValueError: embedded null byte")
        assert server.count(m.Ready) == 1


async def test_a_job_whose_work_is_of_an_unknown_form_is_refused_with_a_sentence(server, agent):
    async with agent.at_work():
        unknown = replace(job_spec(JOB), work=UnknownWork({"kind": "dance", "moves": [1]}))
        await server.assign_spec(unknown, 1, {})
        await server.wait_for(lambda: server.count(m.Refuse))
        assert server.heard[-1].reason == (
            f"{m.CANNOT_KEEP}: its work is 'dance', which this version of the agent does not know; upgrade the agent"
        )
        assert server.count(m.Ready) == 1
    assert not agent.state.jobs.exists() or not list(agent.state.jobs.iterdir())


async def never(job: str, lease: int) -> None:
    """A start that does not start."""


async def test_a_repeated_assignment_is_accepted_again_and_stored_once(server, agent):
    agent.jobs.start = never
    async with agent.at_work():
        await server.assign(JOB, "true")
        await server.wait_for(lambda: server.count(m.Accept) == 1)
        await server.cut()
        await server.wait_for(lambda: server.count(m.Ready) == 2)
        assert server.heard[-1].held == (m.HeldJob(JOB, 1, 0, is_running=False),)
    assert len(list(agent.state.jobs.iterdir())) == 1


async def test_a_server_that_goes_while_the_goodbye_is_said_is_asked_again(server, agent):
    async with agent.at_work():
        await server.wait_ready()
        async with server.away():
            agent.link.leave()
        await server.wait_for(lambda: server.count(m.Goodbye) == 1)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8420", "ws://127.0.0.1:8420/api/v1/agent"),
        ("https://flows.example.org", "wss://flows.example.org/api/v1/agent"),
        ("https://example.org/flows/", "wss://example.org/flows/api/v1/agent"),
    ],
)
def test_the_agent_connects_beside_the_servers_url(url, expected):
    assert websocket_url(url) == expected


async def test_the_word_to_begin_a_job_waits_for_no_other_jobs_disk(server, slow_agent):
    agent, disk = slow_agent
    async with agent.at_work():
        await server.assign(JOB, "true")
        await server.wait_for(lambda: server.count(m.Accept) == 1)
        await server.assign(OTHER, "true")
        await disk.is_busy.wait()
        await server.say("acknowledge", JOB, 1, 0)
        await agent.launcher.has_begun.wait()
        assert server.count(m.Accept) == 1
        disk.is_free.set()
        await server.wait_for(lambda: server.count(m.Accept) == 2)


async def test_an_offer_that_is_taken_back_while_the_disk_takes_it_leaves_nothing(server, slow_agent):
    agent, disk = slow_agent
    async with agent.at_work():
        await server.assign(OTHER, "true")
        await disk.is_busy.wait()
        await server.say("revoke", OTHER, 1, "given to another agent")
        await server.assign(JOB, "true")  # behind it: who is asked for has heard the word before
        await server.say("cancel", JOB, 1, "by ada")
        disk.is_free.set()
        await server.wait_for(lambda: server.count(m.Accept) == 1)
        await wait_until(lambda: not agent.jobs.holds(OTHER, 1))
        assert agent.jobs.holds(JOB, 1)
    assert server.heard[-1] == m.Accept(JOB, 1)
