"""`agent server` as a command: what it prints, how it stops, and its tokens."""

import io
import json
import subprocess
import sys
from importlib import util
from pathlib import Path

import httpx
import pytest
from support.lab import PATIENCE_SECONDS

from agent.cli.server import serve as command
from agent.errors import AgentError, NotFoundError, RefusedError


def start(data: Path) -> "tuple[subprocess.Popen[str], dict[str, str]]":
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "agent",
            "server",
            "--listen",
            "127.0.0.1:0",
            "--data",
            str(data),
            "--format",
            "json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that was started and stopped once."""
    folder = tmp_path_factory.mktemp("server") / "data"
    process, started = start(folder)
    assert (folder / "address").read_text() == started["url"] + "\n"
    assert httpx.get(f"{started['url']}/readyz").text == "ready\n"
    assert started["admin_token"].startswith("fa_api_")
    assert started["registration_token"].startswith("fa_reg_")
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0
    assert process.stdout is not None
    process.stdout.close()
    return folder


def test_a_second_start_prints_no_token(data: Path) -> None:
    process, started = start(data)
    process.terminate()
    process.wait(PATIENCE_SECONDS)
    assert process.stdout is not None
    process.stdout.close()
    assert set(started) == {"url", "server", "data"}


def test_tokens_are_made_listed_and_revoked_without_a_running_server(data: Path) -> None:
    out = io.StringIO()
    command.create_token(data, uses=3, labels=("lab",), name="ci", output_format="json", out=out)
    made = json.loads(out.getvalue())
    assert made["token"].startswith("fa_reg_")
    out = io.StringIO()
    command.list_tokens(data, output_format="json", out=out)
    shown = next(token for token in json.loads(out.getvalue()) if token["id"] == made["id"])
    assert (shown["uses_left"], shown["labels"], shown["name"]) == (3, ["lab"], "ci")
    assert made["token"] not in out.getvalue()
    command.revoke_token(data, made["id"])
    with pytest.raises(NotFoundError, match="or it was revoked already"):
        command.revoke_token(data, made["id"])
    out = io.StringIO()
    command.list_tokens(data, out=out)
    assert f"{made['id']}  uses: 3 left  revoked" in out.getvalue()


def test_a_token_can_be_made_while_the_server_runs(data: Path) -> None:
    process, started = start(data)
    out = io.StringIO()
    command.create_token(data, kind="api", expires_seconds=None, out=out)
    headers = {"Authorization": f"Bearer {out.getvalue().strip()}"}
    assert httpx.get(f"{started['url']}/api/v1/runs", headers=headers).status_code == 200
    process.terminate()
    process.wait(PATIENCE_SECONDS)
    assert process.stdout is not None
    process.stdout.close()


def test_tokens_of_a_folder_without_a_server_are_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no server's data here"):
        command.create_token(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = util.find_spec
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "starlette" else real(name))
    with pytest.raises(AgentError, match="starlette is missing") as error:
        command.run_server(listen="127.0.0.1:0", data=tmp_path / "data")
    assert error.value.hint == "install it with what servers need: docs/server.md"


def test_a_folder_that_others_can_read_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(RefusedError):
        command.run_server(listen="127.0.0.1:0", data=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_commands_import_nothing_of_the_server() -> None:
    script = (
        "import sys, agent.cli.main, agent.cli.server.serve; print([m for m in sys.modules if m.split('.')[0] in "
        "('starlette', 'uvicorn', 'sqlalchemy', 'joserfc', 'msgspec') or m.startswith('agent.server')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
