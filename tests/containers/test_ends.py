"""However a job with containers ends, nothing of it is left at the engine, and no process in it outlives its step."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.docker import BUSYBOX, DEBIAN, connect, leftovers
from support.jobs import JobReport, finish_job, read_report, script, start_job, uses

from agent.job.containers.sweeping import job_labels
from agent.job.folder.attempt import is_running
from agent.job.launch.burial import bury
from agent.job.launch.launcher import JobFolder, remove_job_folder, request_cancel, sweep_containers
from agent.spec.outcome import Conclusion, FailureKind

SERVICE = {"image": BUSYBOX, "command": "httpd -f -p 80", "volumes": ["shared:/shared", "/nameless"]}
DEAF = "trap '' INT TERM; echo begun > here; while true; do sleep 1; done"


class Job:
    """A job that has begun."""

    def __init__(self, tmp_path: Path, address: str, *steps: Any, **options: Any) -> None:
        self.address = address
        self.workspace = tmp_path / "place"
        settings = {"docker_host": address, "workspace": self.workspace}
        self.folder, self.pid = start_job(tmp_path, *steps, settings=settings, **options)

    def wait_for_file(self, name: str) -> None:
        wait_until(lambda: (self.workspace / name).exists() or not is_running(self.folder))
        assert (self.workspace / name).exists(), read_report(self.folder).log()

    def finish(self) -> JobReport:
        report = finish_job(self.folder, self.pid)
        assert leftovers(self.address, job_labels(self.folder)) == []
        assert not (self.folder.read_settings().work_folder / self.folder.name / "_temp").exists()
        return report


@pytest.fixture
def start(tmp_path: Path, engine_address: str) -> Callable[..., Job]:
    def start_it(*steps: Any, **options: Any) -> Job:
        return Job(tmp_path, engine_address, *steps, **options)

    return start_it


def wait_until(holds: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def count_processes(address: str, container: str, word: str) -> int:
    with contextlib.closing(connect(address)) as client:
        return sum(word in " ".join(row) for row in client.top(container)["Processes"])


@pytest.mark.parametrize(("code", "conclusion"), [(0, Conclusion.SUCCESS), (1, Conclusion.FAILURE)])
def test_success_and_failure_leave_nothing(start: Any, code: int, conclusion: Conclusion) -> None:
    job = start(script("one", f"exit {code}"), container=BUSYBOX, services={"web": SERVICE})
    assert job.finish().conclusion is conclusion


def test_a_cancelled_step_ends_with_its_offspring_in_the_container(start: Any) -> None:
    job = start(
        script("deaf", f'(setsid sh -c "{DEAF.replace("begun", "child")}" &) ; {DEAF}'),
        script("after", "ps -o args", condition="always()"),
        container=BUSYBOX,
        services={"web": SERVICE},
    )
    job.wait_for_file("here")
    assert request_cancel(job.folder, "enough")
    report = job.finish()
    assert report.conclusion is Conclusion.CANCELLED
    assert not any("sleep" in line or "trap" in line for line in report.output_of("after"))


def test_a_cancelled_step_hears_it_first(start: Any) -> None:
    job = start(
        script("kind", "trap 'echo heard; exit 0' INT; echo x > here; while true; do sleep 0.1; done"),
        container=BUSYBOX,
    )
    job.wait_for_file("here")
    request_cancel(job.folder, "")
    assert "heard" in job.finish().log("kind")


def test_a_step_that_is_out_of_time_ends_and_the_job_goes_on(start: Any) -> None:
    job = start(
        script("slow", "sleep 3600", timeout_minutes=0.01),
        script("after", "ps -o args", condition="always()"),
        container=BUSYBOX,
    )
    report = job.finish()
    assert report.result.failure_kind is FailureKind.TIMEOUT
    assert "sleep 3600" not in report.log("after")


def test_a_job_that_is_out_of_time_ends(start: Any) -> None:
    job = start(script("slow", "sleep 3600"), container=BUSYBOX, timeout_minutes=0.05)
    report = job.finish()
    assert report.result.failure_kind is FailureKind.TIMEOUT


def test_a_cancelled_container_action_ends(start: Any) -> None:
    words = {"entrypoint": "/bin/sh", "args": f'-c "{DEAF}"'}
    job = start(uses("deaf", f"docker://{BUSYBOX}", with_=words))
    job.wait_for_file("here")
    request_cancel(job.folder, "")
    assert job.finish().conclusion is Conclusion.CANCELLED


def test_a_job_is_cancelled_while_it_waits_for_a_service(start: Any) -> None:
    never = {**SERVICE, "options": "--health-cmd 'false' --health-interval 1h --health-start-period 1h"}
    job = start(script("one", "true"), services={"web": never})
    wait_until(lambda: "Starting the service" in read_report(job.folder).log())
    request_cancel(job.folder, "")
    report = job.finish()
    assert report.conclusion is Conclusion.CANCELLED
    assert "one" not in report.steps()


@pytest.mark.parametrize("image", [BUSYBOX, DEBIAN])
def test_a_killed_supervisor_is_buried_with_its_containers(start: Any, image: str) -> None:
    job = start(script("one", "echo x > here; sleep 3600"), container=image, services={"web": SERVICE})
    job.wait_for_file("here")
    os.kill(job.pid, signal.SIGKILL)
    os.waitpid(job.pid, 0)
    assert leftovers(job.address, job_labels(job.folder))
    bury(job.folder, FailureKind.LOST, "its supervisor died")
    assert leftovers(job.address, job_labels(job.folder)) == []
    assert read_report(job.folder).result.message == "its supervisor died"


def test_removing_a_job_that_was_killed_removes_its_containers(start: Any) -> None:
    job = start(script("one", "echo x > here; sleep 3600"), container=BUSYBOX)
    job.wait_for_file("here")
    os.kill(job.pid, signal.SIGKILL)
    os.waitpid(job.pid, 0)
    remove_job_folder(job.folder)
    assert leftovers(job.address, job_labels(job.folder)) == []


def test_what_a_forgotten_job_left_is_swept_at_the_daemons_start(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = start(script("one", "echo x > here; sleep 3600"), container=BUSYBOX)
    dead.wait_for_file("here")
    (dead.workspace / "here").unlink()
    living = start(script("one", "echo x > here; while [ -e here ]; do sleep 0.1; done"), container=BUSYBOX)
    living.wait_for_file("here")
    os.kill(dead.pid, signal.SIGKILL)
    os.waitpid(dead.pid, 0)
    monkeypatch.setenv("DOCKER_HOST", dead.address)
    assert sweep_containers(dead.folder.path.parent) == ""
    assert leftovers(dead.address, job_labels(dead.folder)) == []
    (living.workspace / "here").unlink()
    assert living.finish().conclusion is Conclusion.SUCCESS


def test_a_machine_without_an_engine_has_nothing_to_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    assert sweep_containers(tmp_path) == ""


def test_a_job_whose_engine_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    folder: JobFolder
    settings = {"docker_host": f"unix://{tmp_path}/none"}
    folder, pid = start_job(tmp_path, script("one", "true"), container=BUSYBOX, settings=settings)
    report = finish_job(folder, pid)
    assert "no container engine answers" in report.result.message
    assert report.result.failure_kind is FailureKind.INFRASTRUCTURE
