"""The processes on GPUs, and whose they are: real processes, with the marks that jobs leave on theirs."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.daemon.gpu_claims import GpuClaims, find_claimant
from agent.daemon.occupants import JobPlaces, OccupantFindings, Tenant, examine
from agent.errors import AgentError

HELD = "flow_job_held-1"
ENDED = "flow_job_ended-2"
Start = Callable[..., int]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts processes of a job, by its tracking id, or of nobody; gives their ids."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(tracking_id: str = "", work: Path | None = None, name: str = "") -> int:
        environment = {"PATH": os.environ["PATH"]}
        if tracking_id:
            environment |= {"RUNNER_TRACKING_ID": tracking_id, "RUNNER_TEMP": f"{work or tmp_path}/job/_temp"}
        naming = f"open('/proc/self/comm', 'w').write({name!r});" if name else ""
        code = f"{naming}import time; print(flush=True); time.sleep(600)"
        process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        started.append(process)
        return process.pid

    yield begin
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def tenant(*gpus: str, is_sharing: bool = False, supervisor: str = "job-held") -> Tenant:
    return Tenant(HELD, supervisor, frozenset(gpus), is_sharing)


class Ended:
    """Ends processes as the daemon would, and notes whose."""

    def __init__(self, *pids: int) -> None:
        self.pids = pids
        self.told: list[str] = []

    def __call__(self, tracking_id: str) -> None:
        self.told.append(tracking_id)
        if not self.pids:
            raise AgentError("they do not end")
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_a_process_of_nobody_keeps_the_gpu_and_is_named(start: Start, tmp_path: Path) -> None:
    one, two = start(name="trainer"), start()
    user = Path(f"/proc/{one}").owner()
    found = examine({"GPU-a": [one], "GPU-b": [two, one]}, [], JobPlaces(tmp_path), Ended())
    assert found.outside["GPU-a"] == f"process {one} (trainer, of {user}) computes on it"
    assert found.outside["GPU-b"].startswith(f"process {two} (")
    assert found.outside["GPU-b"].endswith(") and another compute on it")


def test_while_a_job_has_a_gpu_for_itself_nobody_asks(start: Start, tmp_path: Path) -> None:
    assert (
        examine({"GPU-a": [start()]}, [tenant("GPU-a")], JobPlaces(tmp_path), Ended()) == OccupantFindings()
    )


def test_on_a_shared_gpu_the_jobs_own_are_told_from_strangers(start: Start, tmp_path: Path) -> None:
    own, stranger = start(HELD), start()
    here = [tenant("GPU-a", is_sharing=True)]
    assert examine({"GPU-a": [own]}, here, JobPlaces(tmp_path), Ended()) == OccupantFindings()
    assert set(examine({"GPU-a": [own, stranger]}, here, JobPlaces(tmp_path), Ended()).outside) == {"GPU-a"}


def test_a_process_that_has_dropped_its_mark_is_known_by_its_supervisor(start: Start, tmp_path: Path) -> None:
    """This process is the parent of all that a test starts."""
    name = Path("/proc/self/comm").read_text().strip()
    here = [tenant("GPU-a", is_sharing=True, supervisor=name)]
    assert examine({"GPU-a": [start()]}, here, JobPlaces(tmp_path), Ended()) == OccupantFindings()


def test_leftovers_of_a_dead_job_are_ended(start: Start, tmp_path: Path) -> None:
    left = start(ENDED)
    end = Ended(left)
    assert examine({"GPU-a": [left]}, [tenant("GPU-b")], JobPlaces(tmp_path), end) == OccupantFindings()
    assert end.told == [ENDED]


def test_leftovers_that_do_not_end_keep_the_gpu(start: Start, tmp_path: Path) -> None:
    left = start(ENDED, name="hung")
    found = examine({"GPU-a": [left]}, [], JobPlaces(tmp_path), Ended())
    assert found.leftovers == {"GPU-a": f"process {left} (hung) is left of job job_ended and does not end"}


def test_a_job_on_a_gpu_that_it_was_not_given_is_told_of_and_left_alone(start: Start, tmp_path: Path) -> None:
    stray = start(HELD, name="greedy")
    end = Ended()
    found = examine({"GPU-a": [stray]}, [tenant("GPU-b")], JobPlaces(tmp_path), end)
    words = f"process {stray} (greedy) of job job_held, which was not given it, computes on it"
    assert (found.leftovers, end.told) == ({"GPU-a": words}, [])


def test_a_job_of_another_agent_is_a_stranger(start: Start, tmp_path: Path) -> None:
    other = start(ENDED, work=Path("/somewhere/else"))
    end = Ended()
    found = examine({"GPU-a": [other]}, [], JobPlaces(tmp_path), end)
    assert (set(found.outside), end.told) == ({"GPU-a"}, [])


def test_display_servers_and_what_has_ended_do_not_count(start: Start, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert (
        examine({"GPU-a": [start(name="Xorg"), gone.pid]}, [], JobPlaces(tmp_path), Ended())
        == OccupantFindings()
    )


def test_of_two_agents_that_offer_a_gpu_the_second_knows_of_the_first() -> None:
    first, second = GpuClaims(), GpuClaims()
    uuid = f"GPU-{os.getpid()}"
    assert first.claim([uuid]) == {}
    user = Path("/proc/self").owner()
    assert second.claim([uuid, f"{uuid}-other"]) == {uuid: f"process {os.getpid()}, of {user}"}
    for _ in range(20):  # whoever asks is let in and goes
        assert find_claimant(uuid) == (os.getpid(), f"process {os.getpid()}, of {user}")
        first.claim([uuid])
    assert first.claim([]) == {}
    assert second.claim([uuid]) == {}, "a claim ends with its share"
    second.claim([])
    assert find_claimant(uuid) is None
