"""`services:`, by a real engine."""

from pathlib import Path
from typing import Any

import pytest
from support.docker import BUSYBOX, leftovers
from support.jobs import JobReport, run_job, script

from agent.job.containers.sweeping import job_labels
from agent.spec.outcome import Conclusion

WEB = {
    "image": BUSYBOX,
    "entrypoint": "/bin/sh",
    "command": "-c 'mkdir /www; echo $WHAT > /www/index.html; exec httpd -f -p 80 -h /www'",
    "env": {"WHAT": "served ${{ inputs.what }}"},
    "ports": [80],
    "options": "--health-cmd 'wget -q -O /dev/null http://127.0.0.1/' --health-interval 100ms --health-retries 50",
}


@pytest.fixture
def run(tmp_path: Path, engine_address: str) -> Any:
    def run_it(*steps: Any, **options: Any) -> JobReport:
        report = run_job(tmp_path, *steps, settings={"docker_host": engine_address}, **options)
        assert leftovers(engine_address, job_labels(report.folder)) == []
        return report

    return run_it


def test_a_job_on_the_machine_reaches_a_service_by_its_port(run: Any) -> None:
    fetch = "wget -qO- http://127.0.0.1:${{ job.services.web.ports['80'] }}/"
    report = run(script("one", fetch), services={"web": WEB}, inputs={"what": "well"})
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert "web service is healthy." in report.log("__containers")
    assert report.output_of("one")[-1] == "served well"


def test_a_job_in_a_container_reaches_a_service_by_its_name(run: Any) -> None:
    report = run(
        script("one", "wget -qO- http://web/; echo ${{ job.services.web.network == job.container.network }}"),
        services={"web": WEB, "none": ""},
        container=BUSYBOX,
        inputs={"what": "it"},
    )
    assert report.output_of("one") == ["served it", "true"]
    assert "The service 'none' will not be started" in report.log()


def test_a_port_is_open_to_this_machine_only(run: Any) -> None:
    look = "docker=x; grep -c ':0* ' /proc/net/tcp >/dev/null; cat /proc/net/tcp"
    report = run(
        script("one", f"printf '%04X\\n' ${{{{ job.services.web.ports['80'] }}}}; {look}"),
        services={"web": WEB},
    )
    port, *lines = report.output_of("one")
    addresses = [line.split()[1] for line in lines[1:] if line.split()[1].endswith(f":{port}")]
    assert addresses
    assert all(address.startswith("0100007F") for address in addresses)


def test_a_service_that_is_not_healthy_ends_the_job_with_its_log(run: Any) -> None:
    sick = {
        **WEB,
        "command": "-c 'echo I am sick; sleep 100'",
        "options": "--health-cmd 'exit 1' --health-interval 50ms --health-retries 2",
    }
    report = run(script("one", "true"), services={"web": sick})
    assert report.own_steps() == {"__containers": "failure", "__stop_containers": "success"}
    assert "Failed to initialize container" in report.result.message
    assert "I am sick" in report.log("__containers")


def test_a_services_log_is_shown_at_the_end(run: Any) -> None:
    talkative = {**WEB, "command": "-c 'echo said so; sleep 100'", "options": ""}
    report = run(script("one", "true"), services={"web": talkative})
    assert "said so" in report.log("__stop_containers")
