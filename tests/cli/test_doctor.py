"""`agent doctor` ticks what it has tried: each check with the case in which the thing is there and does not work."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lab import run_agent
from support.nvml import FakeGpu, build_nvml, nvml_env
from support.other_servers import other_server

from agent.cli.machine import doctor, doctor_checks
from agent.cli.machine.doctor import CHECKS
from agent.cli.machine.doctor_checks import Finding
from agent.config import load_settings

SAID_BY = {"tools": ("git", "bash"), "disk": ("disk", "state"), "server": ("server", "clock", "login")}
DATE = {"Date": "Mon, 01 Jan 2001 00:00:00 GMT", "Content-Type": "text/plain"}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")


def look(check: str) -> list[Finding]:
    """What the check finds; those beside it are left out, for they take their time."""
    (one,) = (one for name, one in CHECKS.items() if check in SAID_BY.get(name, (name,)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "CHECKS", {check: one})
        return [finding for finding in doctor.examine(load_settings()) if finding.check == check]


def look_once(check: str) -> Finding:
    (finding,) = look(check)
    return finding


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that come before all others."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def write_tool(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_tools_that_work_are_ticked_with_their_versions() -> None:
    assert look_once("git").state == "ok"
    assert look_once("git").found.endswith(str(shutil.which("git")))
    assert look_once("bash").state == "ok"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo broken libcurl >&2; exit 127", "does not work: broken libcurl"),
        ("exit 3", "does not work: exit status 3"),
        ("exit 0", "does not work"),
        ("sleep 600 & wait", "does not answer within"),
    ],
)
def test_a_git_that_does_not_work_is_a_failure(
    tools: Path, script: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "within" in said:
        monkeypatch.setattr(doctor_checks, "_ANSWER_SECONDS", 0.2)
    write_tool(tools, "git", script)
    git = look_once("git")
    assert (git.state, said in git.found, bool(git.hint)) == ("failure", True, True)


def test_an_old_git_is_said(tools: Path) -> None:
    write_tool(tools, "git", "echo git version 2.30.2")
    git = look_once("git")
    assert (git.state, "2.31" in git.hint) == ("warning", True)


def test_no_git_is_a_failure(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tools))
    assert (look_once("git").state, look_once("bash").state) == ("failure", "warning")


def test_a_docker_command_without_an_engine_is_not_ticked(tools: Path) -> None:
    write_tool(tools, "docker", "echo Docker version 27.1.1")
    docker = look_once("docker")
    assert docker.state == "warning"
    assert "no container engine answers" in docker.found
    assert "DOCKER_HOST" in docker.hint


@pytest.fixture
def silent_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An engine that takes connections and never says anything."""
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(16)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        yield


@pytest.mark.usefixtures("silent_engine")
def test_an_engine_that_hangs_is_not_ticked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks, "_ANSWER_SECONDS", 0.3)
    docker = look_once("docker")
    assert (docker.state, "does not answer within" in docker.found) == ("warning", True)


@pytest.mark.parametrize("address", ["ssh://box", "nonsense"])
def test_an_engine_that_jobs_can_not_use_is_not_ticked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    assert look_once("docker").state == "warning"


def test_an_engine_that_fails_is_not_ticked(monkeypatch: pytest.MonkeyPatch) -> None:
    with other_server(
        500, b'{"message": "the daemon is broken"}', {"Content-Type": "application/json"}
    ) as url:
        monkeypatch.setenv("DOCKER_HOST", url.replace("http://", "tcp://"))
        docker = look_once("docker")
    assert docker.state == "warning"
    assert "broken" in docker.found


@pytest.mark.parametrize("script", ["echo v18.20.4", "exit 1", "echo hello"])
def test_a_node_that_was_set_must_be_one(tools: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tool(tools, "my-node", script)
    monkeypatch.setenv("AGENT_NODE20", str(tools / "my-node"))
    found = look("node")
    assert found[0].state == "failure"
    assert str(tools / "my-node") in found[0].found
    assert "AGENT_NODE20" in found[0].hint


def test_a_node_that_runs_is_ticked(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tool(tools, "my-node", "echo v24.1.0")
    monkeypatch.setenv("AGENT_NODE24", str(tools / "my-node"))
    assert look("node") == [Finding("node", "ok", str(tools / "my-node"))]


def look_with(environment: dict[str, str], check: str) -> list[tuple[str, str]]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "agent", "doctor", "--format", "json"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    checks = json.loads(done.stdout)["checks"]
    return [(one["state"], one["found"]) for one in checks if one["check"] == check]


def test_a_gpu_whose_driver_is_broken_is_not_ticked(tmp_path: Path) -> None:
    library = build_nvml(tmp_path)
    assert look_with(nvml_env(library, [FakeGpu("NVIDIA H200")]), "gpu") == [("ok", "NVIDIA H200")]
    for fault in ("no driver", "half updated"):
        ((state, said),) = look_with(nvml_env(library, [FakeGpu()], fault=fault), "gpu")
        assert state == "failure"
        assert "GPUs not listed" in said
    states = [state for state, _ in look_with(nvml_env(library, [FakeGpu(), FakeGpu(is_lost=True)]), "gpu")]
    assert states == ["ok", "failure"]


def test_a_disk_on_which_nothing_can_be_written_is_not_ticked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_once("disk").state in ("ok", "warning")
    assert look("state") == []
    monkeypatch.setenv("AGENT_WORK_DIR", "/proc/work")  # not even root can
    disk = look_once("disk")
    assert (disk.state, "nothing can be written in /proc" in disk.found) == ("failure", True)
    monkeypatch.setenv("AGENT_STATE", "/proc/state")
    assert look_once("state").state == "failure"


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks, "_FEW_BYTES", 1 << 62)
    assert look_once("disk").state == "warning"


def test_a_policy_that_is_not_valid_is_not_ticked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "policy.toml").write_text("[imagse]\nallow = []\n")
    monkeypatch.setenv("AGENT_POLICY", str(tmp_path / "policy.toml"))
    assert look_once("policy").state == "failure"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<h1>It works!</h1>", "not as a flow-agent server"),
        (502, b"<h1>Bad gateway</h1>", "not as a flow-agent server"),
        (404, b"", "not as a flow-agent server"),
    ],
)
def test_something_else_at_the_servers_address_is_not_ticked(
    status: int, body: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with other_server(status, body) as url:
        monkeypatch.setenv("AGENT_URL", url)
        server = look_once("server")
        assert look("clock") == []
    assert (server.state, said in server.found) == ("failure", True)


def test_a_server_that_is_not_ready_is_not_ticked(monkeypatch: pytest.MonkeyPatch) -> None:
    with other_server(503, b"database: it is locked\n", {"Content-Type": "text/plain"}) as url:
        monkeypatch.setenv("AGENT_URL", url)
        server = look_once("server")
    assert (server.state, "not ready: database: it is locked" in server.found) == ("failure", True)


def test_a_server_that_is_down_is_not_ticked(monkeypatch: pytest.MonkeyPatch) -> None:
    with other_server() as url:
        pass
    monkeypatch.setenv("AGENT_URL", url)
    server = look_once("server")
    assert (server.state, "can't be reached: Connection refused" in server.found) == ("failure", True)


def test_a_clock_that_is_wrong_is_not_ticked(monkeypatch: pytest.MonkeyPatch) -> None:
    with other_server(200, b"ready\n", DATE) as url:
        monkeypatch.setenv("AGENT_URL", url)
        assert look_once("server").state == "ok"
        clock = look_once("clock")
    assert (clock.state, clock.hint) == ("warning", "switch on NTP")


def test_a_token_that_the_server_does_not_take_is_not_ticked(monkeypatch: pytest.MonkeyPatch) -> None:
    with other_server(200, b"ready\n", DATE) as url:
        monkeypatch.setenv("AGENT_URL", url)
        assert look("login") == []
        monkeypatch.setenv("AGENT_TOKEN", "fa_api_x")
        login = look_once("login")
    assert login.state == "failure"


def test_a_password_in_a_setting_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_DATABASE_URL", "postgresql://flows:open-sesame@db/flows")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "agent", "doctor"], capture_output=True, text=True, check=False
    )
    assert "postgresql://" in done.stdout
    assert "open-sesame" not in done.stdout


def test_what_is_not_set_is_shown_by_what_it_means(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AGENT_DATA", "AGENT_POLICY", "AGENT_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    done = run_agent(
        "doctor", environment={"AGENT_STATE": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "own")}
    )
    settings = dict(line.split(maxsplit=1) for line in done.out.partition("from\n")[2].splitlines())
    assert settings["policy"].split() == [str(tmp_path / "policy.toml"), "default"]
    assert settings["data"].split() == [str(tmp_path / "own/flow-agent/server"), "default"]
    assert settings["project"].split() == ["default", "default"]
    assert settings["oidc_issuer"].split() == ["-", "default"]
