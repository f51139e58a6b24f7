"""The real daemon, as a process, against a real socket: killed, cut off, told to leave, cloned."""

import json
import os
import shutil
import signal
import time
from datetime import datetime
from pathlib import Path

import pytest
from support.daemon_process import daemon_process, wait_until
from support.fake_server import job_folders
from support.jobs import script

from agent.daemon.local import ask_daemon
from agent.daemon.state import StateFolder
from agent.ids import ENTROPY_BYTES, JobId, RunId, make_id
from agent.job.launch.launcher import is_running, list_job_folders
from agent.spec.job import GangNode, JobSpec, StepsWork
from agent.spec.outcome import Conclusion, FailureKind
from agent.wire import messages as m

# Stray processes of a job are found by its identifier, so no two test runs may share one.
JOB = make_id("job", os.urandom(ENTROPY_BYTES))

pytestmark = pytest.mark.end_to_end


def until_file(path: Path) -> str:
    """A script that prints, waits for a file, and prints again."""
    return f"echo before; until [ -e '{path}' ]; do sleep 0.05; done; echo after"


async def test_a_job_runs_its_journal_arrives_and_its_folder_goes(server, state):
    async with daemon_process(state) as daemon:
        await server.assign(JOB, "echo hello")
        await server.wait_for(lambda: server.result(JOB))
        assert server.result(JOB).conclusion is Conclusion.SUCCESS
        assert server.lines(JOB).count(b"hello") == 1
        await wait_until(lambda: not job_folders(state))
        assert await daemon.leave() == 0
    assert "Traceback" not in daemon.log


@pytest.mark.parametrize("versions", [m.PROTOCOL_VERSIONS, (1, 2)], ids=["newest", "older"])
async def test_a_node_of_several_begins_when_all_are_there(server, state, new_jobs, monkeypatch, versions):
    monkeypatch.setattr(m, "PROTOCOL_VERSIONS", versions)
    server.holds_word = True
    async with daemon_process(state):
        await server.assign(
            JOB, "echo $AGENT_NODE_RANK of $AGENT_NODES", node=GangNode(1, 2, "box-1", 20_001)
        )
        await server.wait_for(lambda: server.count(m.Accept))
        (folder,) = list_job_folders(state.jobs)
        server.holds_word = False
        await server.assign(new_jobs[0], "true")  # comes later, and begins and ends meanwhile
        await server.wait_for(lambda: server.result(new_jobs[0]))
        assert not is_running(folder)
        assert (JOB, 1) not in server.journals
        await server.say("acknowledge", JOB, 1, 0)
        await server.wait_for(lambda: server.result(JOB))
    assert b"1 of 2" in server.lines(JOB)


async def test_a_job_whose_acceptance_nobody_heard_never_begins(server, state, tmp_path):
    """The server has given it to somebody else meanwhile."""
    server.holds_word = True
    async with daemon_process(state):
        await server.assign(JOB, f"touch '{tmp_path}/begun'")
        await server.wait_for(lambda: server.count(m.Accept))
        server.leases[JOB] = 2
        await server.cut()
        await server.wait_for(lambda: server.count(m.Ready) == 2)
        (held,) = next(event.held for event in reversed(server.heard) if isinstance(event, m.Ready))
        assert (held.journal_bytes, held.is_running) == (0, False)
        await wait_until(lambda: not job_folders(state))
    assert not (tmp_path / "begun").exists()


async def test_a_job_whose_acceptance_was_lost_begins_when_its_agent_is_back(server, state):
    server.holds_word = True
    async with daemon_process(state) as daemon:
        await server.assign(JOB, "echo hello")
        await server.wait_for(lambda: server.count(m.Accept))
        await daemon.kill()
    async with daemon_process(state):
        await server.wait_for(lambda: server.result(JOB))
    assert server.lines(JOB).count(b"hello") == 1


async def test_a_server_that_says_no_word_is_not_waited_for(server, state, monkeypatch):
    monkeypatch.setattr(m, "PROTOCOL_VERSIONS", (1, 2))
    server.holds_word = True
    async with daemon_process(state):
        await server.assign(JOB, "echo hello")
        await server.wait_for(lambda: server.result(JOB))
    assert server.result(JOB).conclusion is Conclusion.SUCCESS


async def test_a_killed_daemon_loses_nothing_and_doubles_nothing(server, state, tmp_path):
    gate = tmp_path / "gate"
    async with daemon_process(state) as daemon:
        await server.assign(JOB, until_file(gate))
        await server.wait_for(lambda: b"before" in server.lines(JOB))
        await daemon.kill()
    gate.touch()
    (folder,) = list_job_folders(state.jobs)
    await wait_until(lambda: not is_running(folder))
    async with daemon_process(state):
        await server.wait_for(lambda: server.result(JOB))
    assert server.result(JOB).conclusion is Conclusion.SUCCESS
    assert server.lines(JOB).count(b"before") == server.lines(JOB).count(b"after") == 1


async def test_a_job_that_still_runs_is_taken_over_and_can_be_cancelled(server, state, tmp_path):
    async with daemon_process(state) as daemon:
        await server.assign(JOB, until_file(tmp_path / "never"))
        await server.wait_for(lambda: b"before" in server.lines(JOB))
        await daemon.kill()
    async with daemon_process(state):
        await server.wait_ready()
        await server.say("cancel", JOB, 1, "by ada")
        await server.wait_for(lambda: server.result(JOB))
    assert server.result(JOB).conclusion is Conclusion.CANCELLED


async def test_a_server_that_was_away_gets_everything_when_it_is_back(server, state, tmp_path):
    gate = tmp_path / "gate"
    async with daemon_process(state) as daemon:
        await server.assign(JOB, until_file(gate))
        await server.wait_for(lambda: b"before" in server.lines(JOB))
        async with server.away():
            gate.touch()
            (folder,) = list_job_folders(state.jobs)
            await wait_until(lambda: not is_running(folder))
        await server.wait_for(lambda: server.result(JOB))
        assert server.lines(JOB).count(b"before") == server.lines(JOB).count(b"after") == 1
        assert "trying again" in daemon.log


async def test_the_daemons_log_says_that_its_times_are_utc(server, state):
    before = int(time.time())
    async with daemon_process(state, TZ="Asia/Tokyo") as daemon:
        await server.wait_ready()
        await wait_until(lambda: daemon.log)
    said = daemon.log.split()[0]
    assert said.endswith("Z")
    assert before <= datetime.fromisoformat(said).timestamp() <= time.time()


async def test_a_job_has_its_words_and_files_whatever_locale_the_daemon_has(server, state):
    run = 'mkdir größe && printf "%s\\n" "$WORD" > größe/日本 && ls größe && cat größe/日本'
    step = script("one", run, env={"WORD": "naïve ✓"})
    spec = JobSpec(RunId(1), JobId(JOB), "train", "train", StepsWork((step,)))
    async with daemon_process(state, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"):
        await server.assign_spec(spec, 1, {})
        await server.wait_for(lambda: server.result(JOB))
    assert server.result(JOB).conclusion is Conclusion.SUCCESS
    assert {"日本", "naïve ✓"} <= {line.decode() for line in server.lines(JOB)}


async def test_told_to_leave_the_daemon_goes_and_the_job_goes_on(server, state, tmp_path):
    gate = tmp_path / "gate"
    async with daemon_process(state) as daemon:
        await server.assign(JOB, until_file(gate))
        await server.wait_for(lambda: b"before" in server.lines(JOB))
        assert await daemon.leave(signal.SIGINT) == 130
        assert "1 job goes on without us" in daemon.log
    (folder,) = list_job_folders(state.jobs)
    assert is_running(folder)
    gate.touch()
    async with daemon_process(state):
        await server.wait_for(lambda: server.result(JOB))


async def test_a_dead_supervisor_is_buried_with_a_cause(server, state, tmp_path):
    async with daemon_process(state):
        await server.assign(JOB, f"echo $PPID > '{tmp_path}/pid'; {until_file(tmp_path / 'never')}")
        await server.wait_for(lambda: b"before" in server.lines(JOB))
        kill_supervisor(int((tmp_path / "pid").read_text()))
        await server.wait_for(lambda: server.result(JOB))
    assert server.result(JOB).failure_kind is FailureKind.LOST
    assert "killed from outside" in server.result(JOB).message


async def test_a_supervisor_that_died_with_the_daemon_is_buried_at_the_next_start(server, state, tmp_path):
    async with daemon_process(state) as daemon:
        await server.assign(JOB, f"echo $PPID > '{tmp_path}/pid'; {until_file(tmp_path / 'never')}")
        await server.wait_for(lambda: b"before" in server.lines(JOB))
        await daemon.kill()
    kill_supervisor(int((tmp_path / "pid").read_text()))
    state.boot.write_text("another boot")
    async with daemon_process(state):
        await server.wait_for(lambda: server.result(JOB))
    assert server.result(JOB).message == "the machine was restarted while the job ran"


async def test_a_job_whose_lease_was_given_away_is_ended_and_never_shipped_again(server, state, tmp_path):
    async with daemon_process(state) as daemon:
        await server.assign(JOB, until_file(tmp_path / "never"))
        await server.wait_for(lambda: b"before" in server.lines(JOB))
        await daemon.kill()
    stored = server.journals[JOB, 1]
    server.leases[JOB] = 2
    async with daemon_process(state):
        await wait_until(lambda: not job_folders(state))
    assert server.journals[JOB, 1] == stored


async def test_a_clone_of_the_identity_takes_over_and_the_first_stops_for_good(server, state, tmp_path):
    twin = StateFolder(tmp_path / "twin")
    shutil.copytree(state.path, twin.path)
    async with daemon_process(state) as first:
        await server.wait_ready()
        async with daemon_process(twin):
            assert await first.ended() == 2
            assert "another process connected with this agent's identity" in first.log
            await server.wait_ready()


async def test_an_agent_that_the_server_does_not_know_stops_with_a_sentence(server, state):
    server.known.clear()
    async with daemon_process(state) as daemon:
        assert await daemon.ended() == 2
        assert "the server does not know this agent" in daemon.log
        assert "agent register --replace" in daemon.log


async def test_a_second_daemon_on_the_same_state_refuses_to_start(server, state):
    async with daemon_process(state) as first:
        await server.wait_ready()
        async with daemon_process(state) as second:
            assert await second.ended() == 1
        assert "already running" in second.log
        assert first.process.returncode is None


async def test_status_and_drain_are_answered_and_the_server_hears_of_it(server, state):
    async with daemon_process(state):
        await server.wait_ready()
        status = ask_daemon(state, {"verb": "status"})
        assert status["connection"] == "connected"
        assert status["jobs"] == []
        assert ask_daemon(state, {"verb": "drain", "is_draining": True})["is_draining"] is True
        await server.wait_for(lambda: m.Drain(is_draining=True) in server.heard)
        await server.assign(JOB, "true")
        await server.wait_for(lambda: server.count(m.Refuse))
        assert ask_daemon(state, {"verb": "nonsense"}) == {"error": "unknown verb"}
    async with daemon_process(state):
        await server.wait_for(lambda: server.heard and isinstance(server.heard[-1], m.Ready))
        assert server.heard[-1].is_draining


async def test_an_ephemeral_agent_does_one_job_and_is_gone(server, tmp_path):
    state = StateFolder(tmp_path / "once")
    server.register(state, max_jobs=4, is_ephemeral=True)
    async with daemon_process(state) as daemon:
        await server.assign(JOB, "echo once")
        await server.wait_for(lambda: server.count(m.Goodbye))
        assert await daemon.ended() == 0
    assert not state.registration.exists()
    assert not state.identity.exists()
    assert not job_folders(state)


async def test_nothing_of_the_daemons_own_environment_reaches_a_job(server, state):
    async with daemon_process(state, AGENT_TOKEN="hush", AWS_SECRET="hush", CUDA_HOME="/cuda", LC_ALL="C"):
        await server.assign(JOB, "env")
        await server.wait_for(lambda: server.result(JOB))
    output = server.output(JOB)
    assert b"CUDA_HOME=/cuda" in output
    assert b"LC_ALL=C" in output
    assert b"hush" not in output
    assert b"AGENT_STATE" not in output


async def test_heartbeats_carry_the_machines_figures(server, state):
    async with daemon_process(state):
        await server.wait_for(lambda: server.count(m.Heartbeat))
    (beat, *_) = [event for event in server.heard if isinstance(event, m.Heartbeat)]
    assert json.loads(json.dumps(dict(beat.figures)))["memory_used_bytes"] > 0


def kill_supervisor(process: int) -> None:
    """SIGKILL the supervisor, which is the parent of a step's shell."""
    os.kill(process, signal.SIGKILL)
