"""What a server hands out for the installation of agents."""

import base64
import hashlib
import io
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path

import pytest
from server.vocabulary import ServerProcess

from agent import __version__
from agent.config import bundled
from agent.server.wheels import own
from agent.server.wheels.own import own_wheel

pytestmark = pytest.mark.store("sqlite")  # nothing of it is in the database
Servers = Callable[..., ServerProcess]
NAME = f"gpu_flow_agent-{__version__}-py3-none-any.whl"


def test_the_server_hands_out_the_wheel_of_what_runs_with_its_digest(server: ServerProcess) -> None:
    wheel = server.http.get("/install/agent.whl")
    digest = hashlib.sha256(wheel.content).hexdigest()
    assert server.http.get("/install/agent.whl.sha256").text == f"{digest}  {NAME}\n"
    assert wheel.headers["Content-Disposition"] == f'attachment; filename="{NAME}"'
    assert wheel.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex(digest)).decode()}:"
    with zipfile.ZipFile(io.BytesIO(wheel.content)) as files:
        assert files.testzip() is None
        info = f"gpu_flow_agent-{__version__}.dist-info"
        metadata = Parser().parsestr(files.read(f"{info}/METADATA").decode())
        assert (metadata["Name"], metadata["Version"]) == ("gpu-flow-agent", __version__)
        assert files.read("agent/cli/main.py") == (Path(own.__file__).parents[2] / "cli/main.py").read_bytes()
        recorded = [line.split(",")[0] for line in files.read(f"{info}/RECORD").decode().splitlines()]
        assert recorded == files.namelist()
        assert not [name for name in recorded if "__pycache__" in name or "/." in name]


def test_the_page_of_wheels_has_the_servers_own_and_what_the_operator_put_there(make_server: Servers) -> None:
    server = make_server()
    assert f"{NAME}#sha256={own_wheel().digest}" in server.http.get("/install/wheels/").text
    house = server.data / "wheelhouse"
    house.mkdir()
    (house / "thing-1.0-py3-none-any.whl").write_bytes(b"thing")
    (house / "notes.txt").write_text("mine")
    page = server.http.get("/install/wheels/").text
    assert re.findall(r'href="([^"#]*)', page) == [NAME, "thing-1.0-py3-none-any.whl"]
    assert server.http.get("/install/wheels/thing-1.0-py3-none-any.whl").content == b"thing"
    assert server.http.get(f"/install/wheels/{NAME}").content == own_wheel().content


@pytest.mark.parametrize(
    "name",
    ["notes.txt", "..%2Fmaster.key", "..%2f..%2fserver.json", "none-1.0-py3-none-any.whl", ".whl"],
)
def test_nothing_but_wheels_leaves_the_wheelhouse(server: ServerProcess, name: str) -> None:
    house = server.data / "wheelhouse"
    house.mkdir(exist_ok=True)
    (house / "notes.txt").write_text("mine")
    assert server.http.get(f"/install/wheels/{name}").status_code == 404


def test_the_requirements_are_those_of_the_wheel(server: ServerProcess) -> None:
    text = server.http.get("/install/requirements.txt").text
    assert text == (bundled("install") / "requirements/agent.txt").read_text()
    with zipfile.ZipFile(io.BytesIO(own_wheel().content)) as files:
        assert files.read("agent/_bundled/install/requirements/agent.txt").decode() == text


def test_an_installed_wheel_hands_out_itself_to_the_byte(tmp_path: Path) -> None:
    """From a checkout or from an installation: the same files are the same wheel, so its digest says what it is."""
    wheel = tmp_path / own_wheel().name
    wheel.write_bytes(own_wheel().content)
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv/bin/python"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
    ]
    subprocess.run(command, check=True, capture_output=True)
    program = "from agent.server.wheels.own import own_wheel; print(own_wheel().digest)"
    done = subprocess.run([python, "-I", "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == own_wheel().digest


def test_the_wheel_is_the_one_that_the_build_tool_makes(tmp_path: Path) -> None:
    root = Path(own.__file__).parents[3]
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    built_files, own_files = read_wheel(tmp_path / NAME), read_wheel(io.BytesIO(own_wheel().content))
    assert sorted(built_files) == sorted(own_files)
    assert {name for name in own_files if own_files[name] != built_files[name]} == set()


def read_wheel(source: Path | io.BytesIO) -> dict[str, bytes]:
    """Its files, without what says who packed it; of the metadata the fields: README, below them, is that of the installation."""
    with zipfile.ZipFile(source) as wheel:
        files = {name: wheel.read(name) for name in wheel.namelist()}
    return {
        name: content.partition(b"\n\n")[0] if name.endswith("/METADATA") else content
        for name, content in files.items()
        if not name.endswith(("/RECORD", "/WHEEL"))
    }


def test_a_server_that_is_not_what_is_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "__version__", "99")
    with pytest.raises(
        own.AgentError, match=f"this server runs 99 and {re.escape(__version__)} is installed"
    ):
        own.own_wheel.__wrapped__()
    monkeypatch.setattr(own, "DISTRIBUTION", "no-such-distribution")
    with pytest.raises(own.AgentError, match="was not installed"):
        own.own_wheel.__wrapped__()
