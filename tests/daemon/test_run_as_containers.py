"""Containers of jobs that run as another user, who may not use the engine: by a real engine, under the machine's policy."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from support.daemon_process import wait_until
from support.docker import BUSYBOX, leftovers
from support.fake_server import job_folders
from support.jobs import script, uses
from support.second_user import give_state, run, running_as
from support.wire import job_spec

from agent.containers.engine import JOB_LABEL
from agent.job.launch.launcher import list_job_folders
from agent.job.process.ending import find_supervisors
from agent.spec.job import JobSpec, StepsWork
from agent.spec.outcome import Conclusion

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(200)]

LOCAL = "local-image:flow-test/*"
TOUCHES = "mkdir -p of-root/deep $HOME/of-root $RUNNER_TEMP/of-root; touch root-was-here of-root/deep/x; chmod 0 of-root; id -u"


def job_with(job: str, *steps: object, **fields: object) -> JobSpec:
    return replace(job_spec(job), work=StepsWork(steps), **fields)


def labels(job: str) -> dict[str, str]:
    return {JOB_LABEL: f"flow_{job}-1"}


async def test_a_jobs_containers_run_though_its_user_may_not_use_the_engine(
    server, open_state, user, engine_address, new_jobs
):
    spec = job_with(
        new_jobs[0],
        script("inside", TOUCHES),
        uses("action", f"docker://{BUSYBOX}", with_={"args": "touch /github/workspace/action-was-here"}),
        script("look", "ls; cat /etc/hosts | grep -c . ", condition="always()"),
        container=BUSYBOX,
        services={"idle": {"image": BUSYBOX, "options": "--entrypoint sleep", "command": "1000"}},
    )
    async with running_as(
        user, open_state, DOCKER_HOST=engine_address, AGENT_CONTAINER_ALLOW=LOCAL
    ) as daemon:
        result, output = await run(server, new_jobs[0], spec)
        direct = f"ls -l {engine_address.removeprefix('unix://')}; test -w {engine_address.removeprefix('unix://')} && echo MAY USE IT; true"
        _result, alone = await run(server, new_jobs[1], direct)
        await wait_until(lambda: not job_folders(open_state))
        await wait_until(lambda: not list((open_state.path / "work").glob("*job*")))
        assert "can't be removed" not in daemon.log
    assert result.conclusion is Conclusion.SUCCESS, output
    assert "\n0\n" in output
    assert "root-was-here" in output
    assert "action-was-here" in output
    assert "\nMAY USE IT\n" not in alone
    assert leftovers(engine_address, labels(new_jobs[0])) == []


async def test_an_agent_of_two_rights_has_nothing_left_of_a_job_with_containers(
    server, open_state, user, third, engine_address, new_jobs
):
    """As the system's unit runs it: its own user may use the engine, and is no more than that."""
    socket = Path(engine_address.removeprefix("unix://"))
    prefix = give_state(open_state, third, str(socket.stat().st_gid))
    spec = job_with(new_jobs[0], script("inside", TOUCHES), container=BUSYBOX)
    dies = job_with(new_jobs[1], script("inside", f"{TOUCHES}; echo ready; sleep 1000"), container=BUSYBOX)
    more = {"DOCKER_HOST": engine_address, "AGENT_CONTAINER_ALLOW": LOCAL, "HOME": str(open_state.path)}
    async with running_as(user, open_state, prefix=prefix, **more) as daemon:
        result, output = await run(server, new_jobs[0], spec)
        assert result.conclusion is Conclusion.SUCCESS, output
        await server.assign_spec(dies, 1, {})
        await server.wait_for(lambda: b"\nready\n" in server.output(new_jobs[1]))
        for folder in list_job_folders(open_state.jobs):
            for supervisor in find_supervisors(folder):
                os.kill(supervisor, signal.SIGKILL)
        await server.wait_for(lambda: server.result(new_jobs[1]))
        await wait_until(lambda: not job_folders(open_state))
        await wait_until(lambda: not list((open_state.path / "work").glob("*job*")))
        assert "can't be removed" not in daemon.log
    for job in new_jobs[:2]:
        assert leftovers(engine_address, labels(job)) == []


async def test_of_a_job_that_dies_neither_containers_nor_files_of_root_stay(
    server, open_state, user, engine_address, new_jobs
):
    spec = job_with(new_jobs[0], script("inside", f"{TOUCHES}; echo ready; sleep 1000"), container=BUSYBOX)
    async with running_as(
        user, open_state, DOCKER_HOST=engine_address, AGENT_CONTAINER_ALLOW=LOCAL
    ) as daemon:
        await server.assign_spec(spec, 1, {})
        await server.wait_for(lambda: b"\nready\n" in server.output(new_jobs[0]))
        for supervisor in find_supervisors(list_job_folders(open_state.jobs)[0]):
            os.kill(supervisor, signal.SIGKILL)
        await server.wait_for(lambda: server.result(new_jobs[0]))
        await wait_until(lambda: not job_folders(open_state))
        await wait_until(lambda: not list((open_state.path / "work").glob("*job*")))
        assert "can't be removed" not in daemon.log
    assert leftovers(engine_address, labels(new_jobs[0])) == []


async def test_the_policy_holds_for_who_may_not_use_the_engine(
    server, open_state, user, engine_address, new_jobs
):
    spec = job_with(
        new_jobs[0],
        script("inside", "cat /host/shadow"),
        container={"image": BUSYBOX, "volumes": ["/etc:/host"]},
    )
    async with running_as(user, open_state, DOCKER_HOST=engine_address, AGENT_CONTAINER_ALLOW=LOCAL):
        result, output = await run(server, new_jobs[0], spec)
    assert result.conclusion is Conclusion.FAILURE
    assert "root:" not in output


async def test_a_job_can_not_swap_a_folder_that_its_containers_are_given(
    server, open_state, user, engine_address, new_jobs
):
    """The engine is root and follows links: what it mounts must be what we looked at."""
    swap = """
      for folder in "$GITHUB_WORKSPACE" "$RUNNER_TEMP" "$(dirname "$GITHUB_ENV")" "$(dirname "$GITHUB_EVENT_PATH")"; do
        cd /; mv "$folder" "$folder.x" && echo SWAPPED; rmdir "$folder" && echo REMOVED; ln -sfT / "$folder" && echo LINKED
      done; true
    """
    below = job_with(
        new_jobs[1],
        script("inside", "true"),
        container={"image": BUSYBOX, "volumes": ["${{ github.workspace }}/data:/data"]},
    )
    mounts = job_with(
        new_jobs[2],
        script(
            "swap",
            "id -u; cd /; rm -rf /__w/_temp /__w/work/work; ln -s / /__w/_temp; mount | grep -c ' /__w '; true",
        ),
        script("look", "pwd", condition="always()"),
        container=BUSYBOX,
    )
    async with running_as(user, open_state, DOCKER_HOST=engine_address, AGENT_CONTAINER_ALLOW=LOCAL):
        _result, output = await run(server, new_jobs[0], swap)
        refused, _output = await run(server, new_jobs[1], below)
        _result, inside = await run(server, new_jobs[2], mounts)
    printed = output.partition("##[endgroup]")[2]
    assert not [word for word in ("SWAPPED", "REMOVED", "LINKED") if f"\n{word}" in printed]
    assert printed.count("Permission denied") >= 8
    assert refused.conclusion is Conclusion.FAILURE
    assert "policy" in refused.message
    assert "\n0\n" in inside.partition("##[endgroup]")[2], "the folder that holds them is no mount"
