"""`agent server user|project|audit` and `agent login`: one contract for both desks, and the commands as they are typed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server.vocabulary import ServerProcess

from agent.cli.client import Client
from agent.cli.main import run_command
from agent.cli.server.account_backends import AccountBackend, HttpAccounts, LocalAccounts
from agent.errors import AgentError, NotFoundError

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module", params=["local", "http"])
def desk(request: pytest.FixtureRequest, server: ServerProcess) -> Iterator[AccountBackend]:
    """Both desks of one server; the local one works on its database while it runs."""
    if request.param == "local":
        yield LocalAccounts(server._settings.get("database_url") or server.data)
    else:
        client = Client(server.url, server.token)
        yield HttpAccounts(client)
        client.close()


def test_both_desks_do_the_same(desk: AccountBackend, server: ServerProcess) -> None:
    who = "ada-l" if isinstance(desk, LocalAccounts) else "ada-h"
    project = f"of-{who}"
    made = desk.create_user(who, "person", admin=False, password=PASSWORD)
    assert (made["name"], made["admin"], made["signs_in_by"]) == (who, False, "password")
    settings = desk.create_project(project, {"weight": 2, "description": "cats"})["settings"]
    assert (settings["weight"], settings["description"]) == (2, "cats")
    desk.set_role(who, project, "runner")
    token = desk.create_token(who, token_name="laptop", expires_seconds=60.0, role="viewer", project=project)
    assert (token["name"], token["role"], token["project"]) == ("laptop", "viewer", project)
    with server.as_user(token["token"]) as client:
        assert client.get("/user").json()["roles"] == {project: "viewer"}
    changed = desk.change_project(project, {"max_gpus": 8, "keep_logs_days": None}, archived=None)
    assert (changed["settings"]["max_gpus"], changed["settings"]["keep_logs_days"]) == (8, None)
    assert desk.change_project(project, {}, archived=True)["archived"]
    assert desk.change_project(project, {}, archived=False)["archived"] is None
    assert project in [entry["name"] for entry in desk.list_projects()]
    desk.set_role(who, project, None)
    assert desk.change_user(who, admin=True, password=PASSWORD * 2)["admin"]
    assert desk.change_user(who, admin=False, disabled=True)["disabled"]
    assert who in [user["name"] for user in desk.list_users()]
    (row,) = desk.list_audit(limit=1, outcome="done")
    assert row["detail"]["user"] == who
    assert row["actor"] == ("operator" if isinstance(desk, LocalAccounts) else "admin")


def test_both_desks_refuse_the_same(desk: AccountBackend) -> None:
    for refused in (
        lambda: desk.create_user("admin", "person", admin=False, password=None),
        lambda: desk.create_user("Ada!", "person", admin=False, password=None),
        lambda: desk.create_user("robot", "service", admin=False, password=PASSWORD),
        lambda: desk.change_user("nobody", disabled=True),
        lambda: desk.change_user("admin", disabled=True),
        lambda: desk.create_token("admin", project="no-such"),
        lambda: desk.set_role("admin", "default", "king"),
        lambda: desk.change_project("default", {"weight": -1}, archived=None),
        lambda: desk.change_project("default", {}, archived=True),
        lambda: desk.list_audit(since="yesterday"),
    ):
        with pytest.raises(AgentError):
            refused()


# The words of the commands, on a stopped server's folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped") / "data"
    ServerProcess(folder).stop()
    return folder


def run(capsys: pytest.CaptureFixture[str], data: Path, *words: str, code: int = 0) -> Any:
    assert run_command(["server", *words, "--data", str(data), "--format", "json"]) == code
    out, err = capsys.readouterr()
    return json.loads(out) if code == 0 else err


def test_an_operator_needs_no_log_in_and_no_running_server(capsys: Any, data: Path) -> None:
    assert run(capsys, data, "user", "create", "ada", "--admin")["admin"]
    assert run(capsys, data, "user", "create", "robot", "--service")["kind"] == "service"
    made = run(capsys, data, "project", "create", "vision", "weight=0.5", "description=cats")["settings"]
    assert (made["weight"], made["description"]) == (0.5, "cats")
    given = run(capsys, data, "user", "set-role", "robot", "runner", "--project", "vision")
    assert given == {"name": "robot", "project": "vision", "role": "runner"}
    token = run(capsys, data, "user", "token", "robot", "--expires", "never", "--role", "runner")
    assert (token["expires"], token["token"][:7]) == (None, "fa_api_")
    assert run(capsys, data, "project", "set", "vision", "max_gpus=8")["settings"]["max_gpus"] == 8
    assert run(capsys, data, "project", "archive", "vision")["archived"]
    assert run(capsys, data, "project", "open", "vision")["archived"] is None
    assert run(capsys, data, "user", "disable", "robot")["disabled"]
    assert run(capsys, data, "user", "enable", "robot")["disabled"] is None
    assert not run(capsys, data, "user", "set-role", "ada", "none", "--organisation")["admin"]
    assert [user["name"] for user in run(capsys, data, "user", "list", "--admins")] == ["admin"]
    (row,) = run(capsys, data, "audit", "--limit", "1", "--actor", "operator")
    assert (row["action"], row["target"]) == ("agent server user set", "ada")


def test_lists_are_tables_for_people(capsys: Any, data: Path) -> None:
    for noun, title in (("user list", "name"), ("project list", "name"), ("audit", "time")):
        assert run_command(["server", *noun.split(), "--data", str(data)]) == 0
        assert capsys.readouterr().out.split()[0] == title


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["user", "create", "admin"], 1, "there is a user 'admin' already"),
        (["user", "create", "Ada!"], 2, "is no name for a user"),
        (["user", "disable", "nobody"], 1, "there is no user 'nobody'"),
        (["user", "set-role", "admin", "king"], 2, "king"),
        (["user", "set-role", "admin", "runner", "--organisation"], 2, "admin or nothing"),
        (["project", "set", "default"], 2, "nothing is to be set"),
        (["project", "set", "default", "weight=-1"], 2, "not valid"),
        (["project", "set", "default", "colour"], 2, "NAME=VALUE"),
        (["project", "archive", "default"], 1, "can't be archived"),
        (["audit", "--since", "yesterday"], 2, "since"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_sentence(
    capsys: Any, data: Path, words: list[str], code: int, said: str
) -> None:
    error = run(capsys, data, *words, code=code)
    assert said in error
    assert error.startswith("agent: ")


def test_a_folder_without_a_server_is_said_to_be_none(capsys: Any, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        LocalAccounts(tmp_path).list_users()
    assert list(tmp_path.iterdir()) == []


# Signing in


def login(url: str, config: Path, password: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "agent", "login", "--url", url, "--user", "lise"],
        capture_output=True,
        text=True,
        check=False,
        input=f"{password}\n",
        env={**os.environ, "AGENT_CONFIG": str(config)},
    )


@pytest.mark.store("sqlite")
def test_a_person_signs_in_with_a_password_and_only_a_token_is_kept(
    server: ServerProcess, tmp_path: Path
) -> None:
    server.add_user("lise", password=PASSWORD, role="viewer")
    config = tmp_path / "config.toml"
    refused = login(server.url, config, "wrong")
    assert (refused.returncode, config.exists()) == (1, False)
    assert "the name or the password is not right" in refused.stderr
    done = login(server.url, config, PASSWORD)
    assert "as lise" in done.stdout, done.stderr
    assert config.stat().st_mode & 0o077 == 0
    assert PASSWORD not in config.read_text()
    assert "fa_api_" in config.read_text()
