"""Apps of jobs whose steps run in containers, by a real engine: each reached at the machine's loopback address, and nowhere else."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.docker import BUSYBOX, connect
from support.jobs import JobReport, finish_job, read_report, script, start_job, uses

from agent.job.attach.client import Output
from agent.job.attach.port import PortConnection
from agent.job.containers.sweeping import job_labels
from agent.job.folder.attempt import JobFolder
from agent.journal.format import AppChanged
from agent.spec.job import AppSpec
from agent.spec.outcome import Conclusion

SERVE = """
mkdir -p /tmp/www; echo hello from the container > /tmp/www/index.html
httpd -p {address}:$PORT_0 -h /tmp/www
until [ -e $GITHUB_WORKSPACE/go ]; do sleep 0.1; done
"""


def test_a_fixed_port_of_the_jobs_container_is_published_on_loopback(
    tmp_path: Path, engine_address: str
) -> None:
    port, got, report = asyncio.run(
        _serve(
            tmp_path,
            engine_address,
            script("one", SERVE.format(address="0.0.0.0")),
            container=BUSYBOX,
            apps=(AppSpec("web", 8888), AppSpec("other")),
        )
    )
    assert port == 8888
    assert b"hello from the container" in got
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert "expected on port 8888" in report.log("__apps")


def test_two_jobs_may_have_the_same_port_in_their_containers(tmp_path: Path, engine_address: str) -> None:
    async def go() -> list[tuple[int, bytes, JobReport]]:
        both = [
            _serve(
                tmp_path / name,
                engine_address,
                script("one", SERVE.format(address="0.0.0.0")),
                container=BUSYBOX,
                apps=(AppSpec("web", 8888),),
            )
            for name in ("a", "b")
        ]
        return list(await asyncio.gather(*both))

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    for port, got, report in asyncio.run(go()):
        assert (port, b"hello" in got, report.conclusion) == (8888, True, Conclusion.SUCCESS), report.log()


def test_a_container_of_one_step_is_published_while_it_lives(tmp_path: Path, engine_address: str) -> None:
    serve = SERVE.format(address="0.0.0.0").replace("$GITHUB_WORKSPACE", "/github/workspace")
    _port, got, report = asyncio.run(
        _serve(
            tmp_path,
            engine_address,
            uses("one", f"docker://{BUSYBOX}", with_={"entrypoint": "sh", "args": f"-c '{serve}'"}),
            apps=(AppSpec("web"),),
        )
    )
    assert b"hello from the container" in got
    assert report.conclusion is Conclusion.SUCCESS, report.log()


def test_an_app_that_listens_inside_only_is_told_where_to(tmp_path: Path, engine_address: str) -> None:
    folder, pid = start_job(
        tmp_path,
        script("one", "httpd -p 127.0.0.1:$PORT_0"),
        container=BUSYBOX,
        apps=(AppSpec("web", 8888),),
        settings={"docker_host": engine_address},
    )
    report = finish_job(folder, pid)
    assert report.annotations()[0].message.endswith("in a container it has to listen on 0.0.0.0")


async def _serve(tmp_path: Path, engine: str, step: Any, **options: Any) -> tuple[int, bytes, JobReport]:
    """Run the job until its app is ready, fetch the app's page, and end it; the port as the job knows it, the page."""
    folder, pid = start_job(tmp_path, step, settings={"docker_host": engine}, **options)
    ready = await _until(folder, lambda report: [app for app in _told(report) if app.state == "ready"])
    assert await asyncio.to_thread(_published, engine, folder) == {"127.0.0.1"}
    asked = {"app": "web", "session": "attach_00000000000000000001", "user": "alice"}
    connection = await PortConnection.open(folder, asked, 1 << 15)
    await connection.send(b"GET / HTTP/1.0\r\n\r\n")
    got = b""
    while isinstance(said := await connection.receive(), Output):
        got += said.data
    connection.close()
    (tmp_path / "work" / folder.name / "work" / "work" / "go").touch()
    return ready[0].port, got, await asyncio.to_thread(finish_job, folder, pid)


def _published(engine: str, folder: JobFolder) -> set[str]:
    """The addresses of the machine on which the engine hands on ports of the job's containers."""
    labels = [f"{name}={value}" for name, value in job_labels(folder).items()]
    with contextlib.closing(connect(engine)) as client:
        found = client.containers(filters={"label": labels})
    return {port.get("IP", "") for container in found for port in container["Ports"]}


def _told(report: JobReport) -> list[AppChanged]:
    return [record for record in report.records if isinstance(record, AppChanged)]


async def _until(folder: JobFolder, find: Callable[[JobReport], Any]) -> Any:
    async with asyncio.timeout(60):
        while not (found := find(read_report(folder))):
            await asyncio.sleep(0.05)
    return found
