"""The commands around the daemon: what they print, their exit codes, and what they do when no daemon runs."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.daemon_process import daemon_process
from support.fake_server import FakeServer, fake_server
from support.wire import job_id, job_spec

from agent.cli.machine.drain import run_drain
from agent.cli.machine.register import run_register
from agent.cli.machine.status import run_status
from agent.cli.machine.unregister import run_unregister
from agent.cli.main import run_command
from agent.config import Settings, load_settings
from agent.daemon.state import StateFolder
from agent.errors import NotFoundError, RefusedError, UnreachableError, UsageError
from agent.job.launch.launcher import JobSettings, create_job_folder
from agent.wire import messages as m


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with fake_server() as fake:
        yield fake


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state")


@pytest.fixture
def settings(state: StateFolder) -> Settings:
    return load_settings({"state": str(state.path)})


def status_of(settings: Settings) -> tuple[int, dict]:
    out = io.StringIO()
    code = run_status(settings, output_format="json", out=out)
    return code, json.loads(out.getvalue())


def test_nothing_registered_is_a_sentence_for_every_command(settings):
    out = io.StringIO()
    for command in (
        lambda: run_status(settings, out=out),
        lambda: run_drain(settings, is_draining=True, out=out),
        lambda: run_unregister(settings, out=out),
    ):
        with pytest.raises(NotFoundError, match="not registered") as caught:
            command()
        assert "agent register" in caught.value.hint
    assert out.getvalue() == ""


def test_start_without_a_registration_says_so_and_fails(settings, state, monkeypatch, capfd):
    monkeypatch.setenv("AGENT_STATE", str(state.path))
    assert run_command(["start"]) == 1
    assert capfd.readouterr().err.startswith("agent: this machine is not registered")


def test_register_needs_a_server_and_a_token(settings, state):
    with pytest.raises(UsageError, match="no server is named"):
        run_register(settings, out=io.StringIO())
    with pytest.raises(UsageError, match="no registration token"):
        run_register(load_settings({"url": "http://127.0.0.1:1"}), out=io.StringIO())


async def test_status_and_drain_work_without_a_daemon(server, state, settings):
    server.register(state)
    create_job_folder(state.jobs, job_spec(job_id(1)), 2, JobSettings(state.path / "work"), {})
    assert run_drain(settings, is_draining=True, out=io.StringIO()) == 0
    code, status = status_of(settings)
    assert code == 1
    assert (status["running"], status["is_draining"]) == (False, True)
    assert status["jobs"] == [{"job": job_id(1), "lease": 2, "state": "ended"}]
    out = io.StringIO()
    assert run_status(settings, out=out) == 1
    assert "no; start it with `agent start`" in out.getvalue()
    assert "none, it is draining" in out.getvalue()
    run_drain(settings, is_draining=False, out=out)
    assert "takes jobs again (it does not run now" in out.getvalue()


async def test_status_and_drain_talk_to_the_daemon_that_runs(server, state, settings):
    server.register(state)
    async with daemon_process(state) as daemon:
        await server.wait_ready()
        code, status = await asyncio.to_thread(status_of, settings)
        assert code == 0
        assert (status["running"], status["connection"]) == (True, "connected")
        assert status["pid"] == daemon.process.pid
        out = io.StringIO()
        await asyncio.to_thread(run_status, settings, out=out)
        assert f"yes, process {status['pid']}" in out.getvalue()
        await asyncio.to_thread(run_drain, settings, is_draining=True, output_format="json", out=out)
        await server.wait_for(lambda: m.Drain(is_draining=True) in server.heard)
        with pytest.raises(RefusedError, match="already running"):
            await asyncio.to_thread(run_unregister, settings, out=out)


async def test_unregister_tells_the_server_and_removes_the_keys(server, state, settings):
    registration = server.register(state)
    out = io.StringIO()
    assert await asyncio.to_thread(run_unregister, settings, out=out) == 0
    assert out.getvalue() == f"box is no longer registered with {server.url}.\n"
    assert registration.agent not in server.known
    assert not state.registration.exists()
    assert not state.identity.exists()


async def test_unregister_goes_through_when_the_server_has_forgotten_the_agent(server, state, settings):
    server.register(state)
    server.known.clear()
    assert await asyncio.to_thread(run_unregister, settings, out=io.StringIO()) == 0
    assert not state.registration.exists()


async def test_unregister_changes_nothing_when_the_server_is_away_unless_it_is_local(server, state, settings):
    server.register(state)
    async with server.away():
        with pytest.raises(UnreachableError, match="could not be told") as caught:
            await asyncio.to_thread(run_unregister, settings, out=io.StringIO())
        assert "--local" in caught.value.hint
        assert state.registration.exists()
        out = io.StringIO()
        assert run_unregister(settings, is_local=True, output_format="json", out=out) == 0
    assert json.loads(out.getvalue())["name"] == "box"
    assert not state.registration.exists()


async def test_unregister_is_refused_while_results_are_still_here(server, state, settings):
    server.register(state)
    create_job_folder(state.jobs, job_spec(job_id(1)), 1, JobSettings(state.path / "work"), {})
    with pytest.raises(RefusedError, match="results of 1 jobs are not on the server"):
        await asyncio.to_thread(run_unregister, settings, out=io.StringIO())
    assert state.registration.exists()


def test_every_command_has_a_help_with_an_example(capsys):
    for name in ("register", "start", "status", "drain", "unregister"):
        with pytest.raises(SystemExit, match="0"):
            run_command([name, "--help"])
        assert f"agent {name}" in capsys.readouterr().out.split("example", 1)[1]
