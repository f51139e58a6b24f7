"""An agent's state that was copied: the copy must not touch the original's jobs. Real daemons, real folders."""

import json
import os
import shutil
from pathlib import Path

import pytest
from support.daemon_process import daemon_process, wait_until
from support.fake_server import FakeServer, job_folders

from agent.daemon.generation import Generation
from agent.daemon.place import ForeignStateError, claim_place, set_copied_jobs_aside
from agent.daemon.state import StateFolder
from agent.errors import DamagedError
from agent.ids import ENTROPY_BYTES, make_id
from agent.job.launch.launcher import is_running, list_job_folders
from agent.seal.files import write_private_file
from agent.seal.identity import create_identity
from agent.spec.outcome import Conclusion
from agent.wire import messages as m

JOB = make_id("job", os.urandom(ENTROPY_BYTES))

pytestmark = pytest.mark.end_to_end


async def begin(server: FakeServer, gate: Path) -> None:
    await server.assign(JOB, f"echo before; until [ -e '{gate}' ]; do sleep 0.05; done; echo after")
    await server.wait_for(lambda: b"before" in server.lines(JOB))


def copy(state: StateFolder) -> StateFolder:
    """What `cp -a` makes; a socket is no file to it."""
    twin = StateFolder(state.path.with_name("copy"))
    shutil.copytree(state.path, twin.path, ignore=shutil.ignore_patterns("*.sock"))
    return twin


async def test_a_copy_of_an_agent_stops_before_it_touches_the_originals_jobs(server, state, tmp_path):
    gate = tmp_path / "gate"
    async with daemon_process(state) as first:
        await begin(server, gate)
        twin = copy(state)
        held = {file: file.read_bytes() for file in twin.jobs.rglob("*") if file.is_file()}
        async with daemon_process(twin) as second:
            assert await second.ended() == 2
        assert f"is a copy of {state.path}" in second.log
        assert "agent register --replace --name" in second.log
        assert held == {file: file.read_bytes() for file in twin.jobs.rglob("*") if file.is_file()}
        gate.touch()
        await server.wait_for(lambda: server.result(JOB))
        assert first.process.returncode is None
    assert server.result(JOB).conclusion is Conclusion.SUCCESS
    assert server.lines(JOB).count(b"after") == 1


async def test_a_copy_stops_also_while_the_originals_daemon_and_the_server_are_away(server, state, tmp_path):
    gate = tmp_path / "gate"
    async with daemon_process(state) as first:
        await begin(server, gate)
        await first.kill()
    async with server.away():
        async with daemon_process(copy(state)) as second:
            assert await second.ended() == 2
        async with daemon_process(state) as third:  # the original adopts its job without asking anybody
            await wait_until(lambda: "found 1 job here from before" in third.log)
            await third.kill()
    gate.touch()
    async with daemon_process(state):
        await server.wait_for(lambda: server.result(JOB))
    assert server.result(JOB).conclusion is Conclusion.SUCCESS


async def test_a_copy_that_registers_anew_leaves_the_originals_jobs_alone(server, state, tmp_path):
    gate = tmp_path / "gate"
    async with daemon_process(state):
        await begin(server, gate)
        twin = copy(state)
        assert set_copied_jobs_aside(twin)
        twin.forget_registration()
        server.register(twin)
        async with daemon_process(twin) as second:
            await wait_until(lambda: "connected to" in second.log)
        assert job_folders(twin) == []
        gate.touch()
        await server.wait_for(lambda: server.result(JOB))
    assert server.result(JOB).conclusion is Conclusion.SUCCESS


async def test_a_state_whose_owner_says_that_it_moved_starts(server, state):
    async with daemon_process(state):
        await server.wait_ready()
    twin = copy(state)
    shutil.rmtree(state.path)
    async with daemon_process(twin) as refused:
        assert await refused.ended() == 2
    assert "agent start --moved" in refused.log
    claim_place(twin, is_moved=True)
    async with daemon_process(twin):
        await server.wait_ready()


async def test_after_a_start_of_the_machine_no_job_is_buried_before_the_server_knows_the_agent(
    server, state, tmp_path
):
    """A cloned disk has the same machine-id and the same folders; what differs is that its kernel was started anew."""
    gate = tmp_path / "gate"
    async with daemon_process(state) as first:
        await begin(server, gate)
        await first.kill()
        (job,) = list_job_folders(state.jobs)
        state.boot.write_text("another boot")
        known = dict(server.known)
        server.known.clear()
        async with daemon_process(state) as second:  # the server says that this is none of its agents
            assert await second.ended() == 2
        assert "from before" not in second.log
        assert is_running(job)
        server.known.update(known)
    gate.touch()
    async with daemon_process(state) as third:
        await server.wait_for(lambda: server.result(JOB))
        assert "found 1 job here from before" in third.log
    assert server.result(JOB).conclusion is Conclusion.SUCCESS


async def test_a_copy_that_was_left_behind_is_turned_away_before_it_tells_of_its_jobs(
    server, state, tmp_path
):
    """As a cloned disk: the same machine, the same path; only that its original has been connected since."""
    async with daemon_process(state) as first:
        await server.wait_for(lambda: server.generations.get(registered(state)) == 1)
        await first.kill()
    shutil.copytree(state.path, tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock"))
    async with daemon_process(state):
        await server.wait_for(lambda: server.generations.get(registered(state)) == 2)
    state.path.rename(tmp_path / "original")
    (tmp_path / "copy").rename(state.path)
    heard = len(server.heard)
    async with daemon_process(state) as copied:
        assert await copied.ended() == 2
    assert "older than what the server has seen" in copied.log
    assert not any(isinstance(event, m.Ready) for event in server.heard[heard:])
    claim_place(state, is_moved=True)  # its owner says that the original is gone
    async with daemon_process(state):
        await server.wait_for(lambda: server.generations.get(registered(state)) == 3)


def registered(state: StateFolder) -> str:
    return state.load_registration().agent


def test_a_generation_that_can_not_be_kept_is_said_and_keeps_no_agent_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    generation = Generation(tmp_path / "file" / "generation")
    assert (generation.kept, generation.keep(7)) == (0, 0)
    assert "can't be noted" in caplog.text
    kept = Generation(tmp_path / "generation")
    assert (kept.keep(0), kept.kept) == (0, 0)
    assert (kept.keep(7), kept.kept) == (7, 7)
    (tmp_path / "generation").write_text("seven")
    assert kept.kept == 0


def make_state(path: Path) -> StateFolder:
    state = StateFolder(path)
    state.make()
    create_identity().save(state.identity)
    claim_place(state)
    return state


def test_a_state_that_was_renamed_is_the_same(tmp_path: Path) -> None:
    state = make_state(tmp_path / "state")
    moved = StateFolder(state.path.rename(tmp_path / "moved"))
    claim_place(moved)
    claim_place(moved)


def test_another_machines_state_is_refused(tmp_path: Path) -> None:
    state = make_state(tmp_path / "state")
    noted = json.loads(state.place.read_text())
    state.place.write_text(json.dumps({**noted, "machine": "0" * 32}))
    with pytest.raises(ForeignStateError, match="another machine's"):
        claim_place(state)
    claim_place(state, is_moved=True)
    claim_place(state)


def test_a_note_that_makes_no_sense_is_no_leave(tmp_path: Path) -> None:
    state = make_state(tmp_path / "state")
    state.place.write_text("{")
    with pytest.raises(DamagedError, match="belongs"):
        claim_place(state)


def test_the_same_start_of_the_machine_is_noted_once(tmp_path: Path) -> None:
    """A daemon starts on a full disk too."""
    state = StateFolder(tmp_path / "state")
    state.make()
    state.note_boot("one")
    noted = state.boot.stat().st_ino
    state.note_boot("one")
    assert state.boot.stat().st_ino == noted
    state.note_boot("two")
    assert (state.boot.read_text(), state.has_rebooted("two")) == ("two", False)


def test_what_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file" / "in").mkdir(parents=True)
    with pytest.raises(OSError, match="file") as refused:
        write_private_file(tmp_path / "file", b"x")
    assert refused.value.filename == str(tmp_path / "file")
