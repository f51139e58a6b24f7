"""Jobs of another user: how they end, whatever dies, and what keeps an agent from running them."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import venv
from dataclasses import replace
from pathlib import Path

import pytest
from support.daemon_process import wait_until
from support.fake_server import FakeServer, job_folders
from support.second_user import SecondUser, give_state, open_folder, run, running_as
from support.wire import job_spec

from agent.daemon.state import StateFolder
from agent.job.launch.launcher import list_job_folders
from agent.job.process.ending import find_supervisors
from agent.spec.outcome import Conclusion, FailureKind

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(200)]

HOLDS = "(setsid sleep 1000 &); (setsid env -u RUNNER_TRACKING_ID sleep 1001 &); echo ready; sleep 1002"


async def begin(server: FakeServer, job: str, script: str = HOLDS) -> None:
    await server.assign(job, script)
    await server.wait_for(lambda: b"\nready\n" in server.output(job))


async def test_a_cancelled_job_and_all_that_it_started_end(server, open_state, user, new_jobs):
    async with running_as(user, open_state):
        await begin(server, new_jobs[0])
        assert len(user.processes()) >= 4
        await server.say("cancel", new_jobs[0], 1, "by ada")
        await server.wait_for(lambda: server.result(new_jobs[0]))
        await wait_until(lambda: not user.processes())
    assert server.result(new_jobs[0]).conclusion is Conclusion.CANCELLED


async def test_a_jobs_time_out_holds(server, open_state, user, new_jobs):
    spec = replace(job_spec(new_jobs[0], "sleep 1000"), timeout_minutes=0.02)
    async with running_as(user, open_state):
        result, _output = await run(server, new_jobs[0], spec)
        await wait_until(lambda: not user.processes())
    assert result.failure_kind is FailureKind.TIMEOUT


async def test_a_job_that_kills_its_supervisor_is_lost_and_nothing_of_it_lives(
    server, open_state, user, new_jobs
):
    async with running_as(user, open_state):
        result, _output = await run(server, new_jobs[0], "(setsid sleep 1000 &); kill -9 $PPID; sleep 1000")
        await wait_until(lambda: not user.processes())
        await wait_until(lambda: not job_folders(open_state))
    assert (result.conclusion, result.failure_kind) == (Conclusion.FAILURE, FailureKind.LOST)


async def test_a_daemon_that_was_killed_leaves_the_job_and_the_next_takes_it_over(
    server, open_state, user, new_jobs
):
    go = open_state.path.parent / "go"
    async with running_as(user, open_state) as daemon:
        await begin(server, new_jobs[0], f"echo ready; until [ -e {go} ]; do sleep 0.05; done; id -un")
        await daemon.kill()
    async with running_as(user, open_state):
        go.touch()
        await server.wait_for(lambda: server.result(new_jobs[0]))
        assert server.result(new_jobs[0]).conclusion is Conclusion.SUCCESS
        assert f"\n{user.name}\n" in server.output(new_jobs[0]).decode()
        await wait_until(lambda: not job_folders(open_state))


async def test_a_job_is_buried_by_a_daemon_that_runs_jobs_as_itself(server, open_state, user, new_jobs):
    """As whom a job runs stands in its folder: the daemon's settings may be others by now."""
    async with running_as(user, open_state) as daemon:
        await begin(server, new_jobs[0], "(setsid sleep 1000 &); echo ready; sleep 1000")
        await daemon.kill()
    async with running_as(user, open_state, AGENT_RUN_AS=""):
        (folder,) = list_job_folders(open_state.jobs)
        os.kill(find_supervisors(folder)[0], signal.SIGKILL)
        await server.wait_for(lambda: server.result(new_jobs[0]))
        await wait_until(lambda: not user.processes())
        await wait_until(lambda: not (open_state.path / "work" / folder.name).exists())


async def test_a_stopped_supervisor_is_cancelled_all_the_same(server, open_state, user, new_jobs):
    mark = open_state.path.parent / "mark"
    mark.mkdir()
    mark.chmod(0o777)
    stops = f"(setsid sleep 1000 &); touch {mark}/x; while :; do kill -STOP $PPID; sleep 0.02; done"
    async with running_as(user, open_state) as daemon:
        await server.assign(new_jobs[0], stops)
        await wait_until((mark / "x").exists)
        await server.say("cancel", new_jobs[0], 1, "by ada")
        async with asyncio.timeout(120):
            await server.wait_for(lambda: server.result(new_jobs[0]))
        await wait_until(lambda: not user.processes())
        assert "Traceback" not in daemon.log
    assert server.result(new_jobs[0]).conclusion is Conclusion.CANCELLED


async def test_two_rights_are_all_that_the_agent_needs(server, open_state, user, third, new_jobs):
    """As the system's unit gives them: the agent is a user like any other that may become the jobs' user."""
    prefix = give_state(open_state, third)
    mess = "mkdir -p deep/er; chmod 0 deep/er; chmod 500 deep; grep -E 'Cap(Eff|Prm|Amb)' /proc/self/status; id -un"
    async with running_as(user, open_state, prefix=prefix, HOME=str(open_state.path)) as daemon:
        result, output = await run(server, new_jobs[0], mess)
        assert result.conclusion is Conclusion.SUCCESS, output
        assert output.count("0000000000000000") == 3
        assert f"\n{user.name}\n" in output
        await begin(server, new_jobs[1])
        await server.say("cancel", new_jobs[1], 1, "by ada")
        await server.wait_for(lambda: server.result(new_jobs[1]))
        await run(server, new_jobs[2], "(setsid sleep 1000 &); kill -9 $PPID; sleep 1000")
        await wait_until(lambda: not job_folders(open_state))
        await wait_until(lambda: not user.processes())
        work = open_state.path / "work"
        await wait_until(lambda: not list(work.glob("job*")))
        assert "can't be removed" not in daemon.log
        assert daemon.process.returncode is None


def start(user: SecondUser, state: StateFolder, run_as: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`agent start` that is expected to end at once."""
    python = more.pop("python", user.python)
    command = [*more.pop("prefix", "").split(), python, "-m", "agent", "start", "--run-as", run_as]
    environment = {**os.environ, **user.environment, "AGENT_STATE": str(state.path), **more}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        (
            "nobody-has-this-name",
            2,
            "there is no user 'nobody-has-this-name' (run_as); make one that jobs alone use",
        ),
        ("root", 2, "'root' is root (run_as); name a user that jobs alone use"),
    ],
)
async def test_a_user_that_can_not_be_is_refused_at_the_start(open_state, user, name, code, words):
    done = await asyncio.to_thread(start, user, open_state, name)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert words in done.stderr


async def test_an_agent_that_may_not_become_another_user_says_so(open_state, user, third):
    give_state(open_state, third)
    prefix = f"setpriv --reuid {third.uid} --regid {third.gid} --clear-groups"
    home = str(open_state.path)
    done = await asyncio.to_thread(start, user, open_state, user.name, prefix=prefix, HOME=home)
    assert done.returncode == 2
    assert (
        f"this agent may not run jobs as '{user.name}' (run_as); start it as root, or as a service"
        in done.stderr
    )


async def test_a_python_that_the_jobs_user_can_not_read_is_refused_at_the_start(open_state, user):
    with open_folder() as folder:
        venv.create(folder / "closed/venv", symlinks=False)
        python = folder / "closed/venv/bin/python"
        if not user.environment:  # its base can be read: then it is this that can't be
            packages = [path for path in sys.path if path.endswith("site-packages")]
            user = replace(user, environment={"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *packages])})
        (folder / "closed").chmod(0o700)
        done = await asyncio.to_thread(start, user, open_state, user.name, python=str(python))
    assert done.returncode == 2
    assert f"jobs can't run as '{user.name}': it can't use the agent's Python" in done.stderr
    assert "install the agent where others may read it" in done.stderr


async def test_a_folder_that_the_jobs_user_can_not_reach_is_refused_at_the_start(open_state, user):
    closed = open_state.path.parent
    closed.chmod(0o700)
    done = await asyncio.to_thread(start, user, open_state, user.name)
    assert done.returncode == 2
    assert f"jobs can't run as '{user.name}': it may not go through {closed} (" in done.stderr
    assert "let it through (chmod o+x), or name another folder with AGENT_WORK_DIR" in done.stderr


async def test_what_others_could_read_in_the_state_is_closed_at_the_start(server, open_state, user, new_jobs):
    shutil.copy(open_state.registration, open_state.path / "copy.json")
    (open_state.path / "copy.json").chmod(0o644)
    async with running_as(user, open_state):
        await run(server, new_jobs[0], "true")
    assert (open_state.path / "copy.json").stat().st_mode & 0o777 == 0o600
    assert open_state.path.stat().st_mode & 0o777 == 0o710


async def test_the_doctor_says_whether_jobs_can_run_as_the_user(server, open_state, user, new_jobs):
    async with running_as(user, open_state):
        await run(server, new_jobs[0], "true")
    ok = await asyncio.to_thread(examine, user, open_state, user.name)
    assert f"run as: jobs run as '{user.name}'\n" in ok
    (open_state.path.parent).chmod(0o700)
    closed = await asyncio.to_thread(examine, user, open_state, user.name)
    assert (
        f"run as: jobs can't run as '{user.name}': it may not go through {open_state.path.parent}" in closed
    )
    nobody = await asyncio.to_thread(examine, user, open_state, "nobody-has-this-name")
    assert "run as: there is no user 'nobody-has-this-name'" in nobody


def examine(user: SecondUser, state: StateFolder, name: str) -> str:
    """What `agent doctor` says with jobs of the user `name`."""
    environment = {
        **os.environ,
        **user.environment,
        "AGENT_STATE": str(state.path),
        "AGENT_RUN_AS": name,
        "DOCKER_HOST": f"unix://{state.path}/nobody.sock",
    }
    command = [user.python, "-m", "agent", "doctor"]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    ).stdout
