"""Long events on their way to a real daemon: what has come stays, whatever ends in between, and no other job waits for long."""

import json
from dataclasses import replace

import pytest
from support.daemon_process import daemon_process, wait_until
from support.fake_server import FakeServer, job_folders
from support.wire import job_spec

from agent.job.launch.launcher import list_job_folders
from agent.spec.event_apart import EventApart, EventPlace, find_digest
from agent.spec.job import JobSpec
from agent.spec.outcome import Conclusion, FailureKind
from agent.wire import messages as m

pytestmark = pytest.mark.end_to_end

PARTS = 5
SCRIPT = (
    "echo ${{ github.event.number }}; "
    "python3 -c \"import json, os; print(len(json.load(open(os.environ['GITHUB_EVENT_PATH']))['text']))\""
)


def make_document(number: int = 7) -> bytes:
    """One whose last part is a short one."""
    event = {"number": number, "text": "x" * ((PARTS - 1) * m.EVENT_PART_BYTES + 100)}
    return json.dumps([event]).encode()


def with_event(job: str, document: bytes, script: str = SCRIPT) -> JobSpec:
    apart = EventApart(find_digest(document), len(document), (EventPlace(("github", "event"), 0),))
    return replace(
        job_spec(job, script), contexts={"github": {"event": {}, "repository": "acme/lab"}}, event_apart=apart
    )


async def give(server: FakeServer, job: str, document: bytes, script: str = SCRIPT) -> None:
    server.documents[job] = document
    await server.assign_spec(with_event(job, document, script), 1, {})


def asked(server: FakeServer, job: str) -> list[int]:
    """The parts that were asked for, in order."""
    wanted = [event for event in server.heard if isinstance(event, m.EventWanted) and event.job == job]
    return [one.offset // m.EVENT_PART_BYTES for one in wanted]


def check(server: FakeServer, job: str, document: bytes) -> None:
    (event,) = json.loads(document)
    lines = server.lines(job)
    assert str(event["number"]).encode() in lines
    assert str(len(event["text"])).encode() in lines
    assert server.result(job).conclusion is Conclusion.SUCCESS


async def test_a_job_begins_when_all_of_its_event_is_here(server, state, new_jobs):
    document = make_document()
    async with daemon_process(state):
        await give(server, new_jobs[0], document)
        await server.wait_for(lambda: server.result(new_jobs[0]))
    assert asked(server, new_jobs[0]) == [*range(PARTS)]
    check(server, new_jobs[0], document)


async def test_a_daemon_that_is_killed_meanwhile_asks_for_what_is_missing(server, state, new_jobs):
    document, job = make_document(), new_jobs[0]
    server.parts_left = 2
    async with daemon_process(state) as daemon:
        await give(server, job, document)
        await server.wait_for(lambda: len(asked(server, job)) == 3)
        await daemon.kill()
    server.parts_left = PARTS
    async with daemon_process(state):
        await server.wait_for(lambda: server.result(job))
    assert asked(server, job) == [0, 1, 2, 2, 3, 4]
    check(server, job, document)


async def test_a_connection_that_is_lost_meanwhile_costs_one_part(server, state, new_jobs):
    document, job = make_document(), new_jobs[0]
    server.parts_left = 2
    async with daemon_process(state):
        await give(server, job, document)
        await server.wait_for(lambda: len(asked(server, job)) == 3)
        server.parts_left = PARTS
        await server.cut()
        await server.wait_for(lambda: server.result(job))
    assert asked(server, job) == [0, 1, 2, 2, 3, 4]
    check(server, job, document)


async def test_what_the_disk_has_lost_of_an_event_comes_once_more(server, state, new_jobs):
    document, job = make_document(), new_jobs[0]
    server.parts_left = 2
    async with daemon_process(state) as daemon:
        await give(server, job, document)
        await server.wait_for(lambda: len(asked(server, job)) == 3)
        await daemon.kill()
    (folder,) = list_job_folders(state.jobs)
    coming = folder.event.with_name("event.part")
    coming.write_bytes(bytes(coming.stat().st_size))  # the power failed before it was written
    server.parts_left = 2 * PARTS
    async with daemon_process(state):
        await server.wait_for(lambda: server.result(job))
    assert asked(server, job) == [0, 1, 2, 2, 3, 4, *range(PARTS)]
    check(server, job, document)


async def test_jobs_of_one_run_have_its_event_sent_once(server, state, new_jobs):
    document = make_document()
    async with daemon_process(state):
        for job in new_jobs:
            await give(server, job, document)
        await server.wait_for(lambda: all(server.result(job) for job in new_jobs))
    assert max(asked(server, job) for job in new_jobs) == [*range(PARTS)]
    assert sum(len(asked(server, job)) for job in new_jobs) == PARTS
    for job in new_jobs:
        check(server, job, document)


async def test_other_jobs_begin_while_an_event_is_on_its_way(server, state, new_jobs):
    server.parts_left = 1
    async with daemon_process(state):
        await give(server, new_jobs[0], make_document())
        await server.wait_for(lambda: len(asked(server, new_jobs[0])) == 2)
        await server.assign(new_jobs[1], "echo other")
        await server.wait_for(lambda: server.result(new_jobs[1]))
        await server.say("revoke", new_jobs[0], 1, "the test is over")
        await wait_until(lambda: not job_folders(state))


async def test_a_job_that_is_taken_back_leaves_the_way_to_the_next_ones_event(server, state, new_jobs):
    document = make_document(8)
    server.parts_left = 1
    async with daemon_process(state):
        await give(server, new_jobs[0], make_document())
        await server.wait_for(lambda: len(asked(server, new_jobs[0])) == 2)
        await give(server, new_jobs[1], document)
        server.parts_left = PARTS
        await server.say("revoke", new_jobs[0], 1, "given to another agent")
        await server.wait_for(lambda: server.result(new_jobs[1]))
        await wait_until(lambda: not job_folders(state))
    check(server, new_jobs[1], document)
    assert (new_jobs[0], 1) not in server.journals


async def test_a_job_that_is_cancelled_while_its_event_comes_ends_as_cancelled(server, state, new_jobs):
    job = new_jobs[0]
    server.parts_left = 1
    async with daemon_process(state):
        await give(server, job, make_document(), "sleep 600")
        await server.wait_for(lambda: len(asked(server, job)) == 2)
        await server.say("cancel", job, 1, "by ada")
        server.parts_left = PARTS
        await server.cut()
        await server.wait_for(lambda: server.count(m.Ready) == 2)
        await server.say("cancel", job, 1, "by ada")  # said once a connection
        await server.wait_for(lambda: server.result(job))
    assert server.result(job).conclusion is Conclusion.CANCELLED


@pytest.mark.parametrize(
    ("has", "reason"), [(b"", "doesn't have it any more"), (b"[{}]", "is not what was asked for")]
)
async def test_a_job_whose_event_can_not_be_brought_ends_alone_and_says_why(
    server, state, new_jobs, has, reason
):
    job, other = new_jobs[0], new_jobs[1]
    async with daemon_process(state):
        server.documents[job] = has
        await server.assign_spec(with_event(job, make_document()), 1, {})
        await server.wait_for(lambda: server.result(job))
        await server.assign(other, "echo other")
        await server.wait_for(lambda: server.result(other))
    result = server.result(job)
    assert (result.conclusion, result.failure_kind) == (Conclusion.FAILURE, FailureKind.INFRASTRUCTURE)
    assert "its event could not be brought here" in result.message
    assert reason in result.message
    assert server.result(other).conclusion is Conclusion.SUCCESS
