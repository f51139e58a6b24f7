"""Apps of a job: their ports, their states in the journal, and connections that the supervisor hands over. Real programs listen."""

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.jobs import JobReport, finish_job, read_report, run_job, script, start_job

from agent.errors import AgentError
from agent.job.apps.listening import answers, connect, has_listener
from agent.job.apps.ports import PICKED, claim_port, pick_port
from agent.job.attach.client import Ended, Output
from agent.job.attach.port import PortConnection
from agent.job.folder.attempt import JobFolder
from agent.journal.format import AppChanged
from agent.spec.apps import APPS, AppState
from agent.spec.job import AppSpec
from agent.spec.outcome import Conclusion, FailureKind

ECHO = Path(__file__).parent.parent / "support" / "echo_app.py"
SERVE = f"{sys.executable} {ECHO} $PORT_0 &\nuntil [ -e {{go}} ]; do sleep 0.05; done\nkill %1"


def states(report: JobReport, place: int = 0) -> list[str]:
    return [str(record.state) for record in _told(report, place)]


def _told(report: JobReport, place: int = 0) -> list[AppChanged]:
    return [record for record in report.records if isinstance(record, AppChanged) and record.place == place]


async def until(folder: JobFolder, condition: Callable[[JobReport], Any]) -> JobReport:
    async with asyncio.timeout(30):
        while not condition(report := read_report(folder)):
            await asyncio.sleep(0.02)
    return report


def test_all_steps_find_the_ports_and_no_flow_overrides_them(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("one", "echo PORT_1=3 >> $GITHUB_ENV; echo $PORT_0 $PORT_1"),
        script("two", "echo $PORT_0 $PORT_1", env={"PORT_0": "1"}),
        apps=(AppSpec("free"), AppSpec("fixed", 18_888)),
    )
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    free, fixed = report.output_of("one")[0].split()
    assert int(free) in PICKED
    assert fixed == "18888"
    assert report.output_of("two") == [f"{free} {fixed}"]
    assert [record.port for record in _told(report, 1)] == [18_888] * 3


def test_an_app_is_ready_when_something_listens_and_gone_when_nothing_does(tmp_path: Path) -> None:
    async def go() -> JobReport:
        listens, goes = tmp_path / "listens", tmp_path / "goes"
        text = SERVE.format(go=listens) + f"\nuntil [ -e {goes} ]; do sleep 0.05; done"
        folder, pid = start_job(tmp_path, script("one", text), apps=(AppSpec("web", opens="/x?y=1"),))
        await until(folder, lambda report: states(report) == ["waiting", "ready"])
        listens.touch()
        await until(folder, lambda report: states(report)[-1] == "gone")
        goes.touch()
        return await asyncio.to_thread(finish_job, folder, pid)

    report = asyncio.run(go())
    assert states(report) == ["waiting", "ready", "gone"]
    assert f"The app 'web' is ready: http://127.0.0.1:{_told(report)[0].port}/x?y=1" in report.log("__apps")
    assert report.conclusion is Conclusion.SUCCESS


def test_an_app_whose_port_never_opens_is_said_and_ends_nothing(tmp_path: Path) -> None:
    report = run_job(tmp_path, script("one", "true"), apps=(AppSpec("web", 18_889),))
    assert report.conclusion is Conclusion.SUCCESS
    assert states(report) == ["waiting", "waiting", "gone"]
    assert _told(report)[-1].message == "nothing ever listened on port 18889"
    assert [warning.message for warning in report.annotations()] == [
        "The app 'web': nothing ever listened on port 18889"
    ]
    assert "the job goes on" in report.log("__apps")


def test_that_nothing_listens_is_said_while_the_job_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.job.apps.apps._PATIENCE_SECONDS", 0.3)

    async def go() -> JobReport:
        folder, pid = start_job(
            tmp_path,
            script("one", f"until [ -e {tmp_path}/go ]; do sleep 0.05; done"),
            apps=(AppSpec("web"),),
        )
        await until(folder, lambda report: report.annotations())
        (tmp_path / "go").touch()
        return await asyncio.to_thread(finish_job, folder, pid)

    report = asyncio.run(go())
    assert "nothing listens on port" in report.annotations()[0].message
    assert len(report.annotations()) == 1


def test_a_fixed_port_that_is_taken_fails_the_job_before_its_steps(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        report = run_job(tmp_path, script("one", "echo ran"), apps=(AppSpec("web", port),))
    assert report.conclusion is Conclusion.FAILURE
    assert report.result.failure_kind is FailureKind.INFRASTRUCTURE
    assert f"port {port} of this machine is taken already" in report.result.message
    assert "one" not in report.own_steps()
    claim = claim_port(port)
    assert claim is not None
    with claim:
        report = run_job(tmp_path, script("one", "echo ran"), apps=(AppSpec("web", port),))
    assert "is taken already" in report.result.message


def test_a_picked_port_is_given_once_and_to_nobody_where_something_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with closing(socket.create_server(("127.0.0.1", 0))) as freed:
            free = freed.getsockname()[1]
        port, claim = pick_port([taken, free])
        with claim:
            assert port == free
            with pytest.raises(AgentError, match="no port is free"):
                pick_port([taken, free])
        again, claim = pick_port([free])
        claim.close()
        assert again == free


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_listener_is_seen_and_reached_on_either_loopback_address(address: str) -> None:
    async def look(port: int) -> tuple[bool, bool]:
        with await connect(port):
            return has_listener(port), await answers(port)

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        port = listener.getsockname()[1]
        assert asyncio.run(look(port)) == (True, True)
    assert not has_listener(port)
    with pytest.raises(OSError):
        asyncio.run(connect(port))


def test_who_hangs_up_at_once_is_no_app() -> None:
    async def look() -> bool:
        async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            return await answers(server.sockets[0].getsockname()[1])

    assert not asyncio.run(look())


async def ask(connection: PortConnection, path: str) -> bytes:
    await connection.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    got = b""
    while isinstance(said := await connection.receive(), Output):
        got += said.data
    assert said == Ended(0, "")
    return got


def request(app: str) -> dict[str, object]:
    return {"app": app, "session": "attach_00000000000000000001", "user": "alice"}


def test_the_supervisor_hands_over_connections_and_says_why_there_is_none(tmp_path: Path) -> None:
    async def go() -> JobReport:
        text = f"until [ -e {tmp_path}/serve ]; do sleep 0.05; done\n" + SERVE.format(go=tmp_path / "go")
        folder, pid = start_job(tmp_path, script("one", text), apps=(AppSpec("web"), AppSpec("other")))
        await until(folder, states)
        for app, word in (("web", "nothing listens on port"), ("nope", "the job has no app 'nope'")):
            with pytest.raises(AgentError, match=word):
                await PortConnection.open(folder, request(app), 1000)
        (tmp_path / "serve").touch()
        await until(folder, lambda report: states(report)[-1] == "ready")
        connections = [await PortConnection.open(folder, request("web"), 1000) for _ in range(3)]
        answers = await asyncio.gather(*(ask(one, f"/{number}") for number, one in enumerate(connections)))
        assert [f'"path": "/{number}"'.encode() in answer for number, answer in enumerate(answers)] == [
            True
        ] * 3
        for one in connections:
            one.close()
        (tmp_path / "go").touch()
        return await asyncio.to_thread(finish_job, folder, pid)

    report = asyncio.run(go())
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    with pytest.raises(AgentError, match="the job has ended"):
        asyncio.run(PortConnection.open(report.folder, request("web"), 1000))


def test_the_machines_owner_can_forbid_apps(tmp_path: Path) -> None:
    async def go() -> None:
        settings = {"policy": {"apps": {"allow": False}}, "policy_file": Path("/etc/policy.toml")}
        folder, pid = start_job(
            tmp_path,
            script("one", SERVE.format(go=tmp_path / "go")),
            apps=(AppSpec("web"),),
            settings=settings,
        )
        await until(folder, lambda report: "ready" in states(report))
        with pytest.raises(AgentError, match=r"lets nobody use apps of jobs.*apps\.allow"):
            await PortConnection.open(folder, request("web"), 1000)
        (tmp_path / "go").touch()
        await asyncio.to_thread(finish_job, folder, pid)

    asyncio.run(go())


def test_a_job_that_hands_over_something_else_than_a_connection_hands_over_nothing(tmp_path: Path) -> None:
    """The job may have put a socket of its own where the supervisor's was."""

    async def go() -> None:
        folder = JobFolder(tmp_path, "job_1", 1)
        with Path("/etc/hostname").open() as file, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder.control))
            listener.listen()

            def answer() -> None:
                line, _ = listener.accept()
                with line:
                    line.recv(1000)
                    socket.send_fds(line, [b'{"ok": true}\n'], [file.fileno()])

            answering = asyncio.create_task(asyncio.to_thread(answer))
            with pytest.raises(AgentError, match="the job has ended"):
                await PortConnection.open(folder, request("web"), 1000)
            await answering

    asyncio.run(go())


def test_the_states_are_the_tables() -> None:
    assert APPS.starts == {AppState.WAITING}
    assert not APPS.may_become(AppState.READY, AppState.READY)


def test_an_app_has_a_token_of_its_own_that_the_steps_know_and_a_local_run_shows(tmp_path: Path) -> None:
    async def go() -> JobReport:
        text = "echo $APP_TOKEN_0 $APP_TOKEN_1\n" + SERVE.format(go=tmp_path / "go")
        apps = (AppSpec("web", opens="/?t={token}"), AppSpec("other"))
        folder, pid = start_job(tmp_path, script("one", text), apps=apps)
        await until(folder, lambda report: "ready" in states(report))
        (tmp_path / "go").touch()
        return await asyncio.to_thread(finish_job, folder, pid)

    report = asyncio.run(go())
    first, second = report.output_of("one")[0].split()
    assert len(first) == len(second) == 40
    assert first != second
    assert f"/?t={first}" in report.log("__apps")


def test_a_servers_token_for_an_app_reaches_the_steps_and_no_log(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("one", '[ "$APP_TOKEN_0" = letmein ] && echo is $APP_TOKEN_0'),
        apps=(AppSpec("web"),),
        secrets={"app-token/0": "letmein"},
    )
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert report.output_of("one") == ["is ***"]
