"""install.sh as a server hands it out: the real agent, from that server, by digests, with no package index."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from server.vocabulary import ServerProcess

from agent import __version__

from .conftest import Box, run_script

# No index is there to fall back on, and no setting of this machine's pip.
CLEAN = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("server") / "data")
    yield process
    process.stop()


@pytest.fixture
def installer(server: ServerProcess, tmp_path: Path) -> Path:
    script = tmp_path / "install.sh"
    script.write_text(httpx.get(f"{server.url}/install.sh").text)
    return script


def install(box: Box, script: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    fixed = ["--user", "--no-service", "--python", sys.executable, *arguments]
    return run_script(script, fixed, {"HOME": str(box.home), **CLEAN, **env})


def fill(house: Path) -> None:
    """The wheelhouse, for this Python, by the command that operators have."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [
        sys.executable,
        "-m",
        "agent",
        "server",
        "wheelhouse",
        "--python",
        python,
        "--data",
        house.parent,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"no package index to fill a wheelhouse from: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert f" wheels in {house}" in done.stdout


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
def test_an_agent_is_installed_from_its_server_without_any_package_index(
    box: Box, server: ServerProcess, installer: Path
) -> None:
    fill(server.data / "wheelhouse")
    result = install(box, installer)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"installing the agent of {server.url} into" in result.stdout
    assert "what it needs comes from the server's wheelhouse" in result.stdout
    assert f"done: agent {__version__}" in result.stdout
    environment = (box.prefix / "venv").resolve()
    assert not (environment / "from").exists()
    bundled = next(environment.glob("lib/*/site-packages/agent/_bundled"))
    assert (bundled / "systemd/flow-agent.service").is_file()
    assert (bundled / "systemd/user/flow-agent.service").is_file()
    assert (bundled / "install/install.sh").is_file()
    shown = subprocess.run(
        [box.command, "machine", "show"],
        env={"HOME": str(box.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.end_to_end
def test_a_wheel_that_is_not_what_the_server_says_is_not_installed(
    box: Box, server: ServerProcess, installer: Path
) -> None:
    """The installer's own check: a server, or a cache before it, that mixes two versions up."""
    text = installer.read_text()
    spoilt = text.replace('fetch "$SERVER/install/wheels/$wheel"', 'fetch "$SERVER/install/requirements.txt"')
    assert spoilt != text
    installer.write_text(spoilt)
    result = install(box, installer)
    assert result.returncode == 1
    assert f"is not what {server.url} says that it is; nothing was changed" in result.stderr
    assert not box.command.exists()
    assert list((box.home / ".local").rglob("*")) == [box.home / ".local/share"]


@pytest.mark.end_to_end
def test_a_server_that_does_not_answer_is_named(box: Box, installer: Path) -> None:
    result = install(box, installer, "--url", "http://127.0.0.1:9", "--token", "t")
    assert result.returncode == 1
    assert "http://127.0.0.1:9 hands out no agent; see above; is it the server's address?" in result.stderr
    assert "Traceback" not in result.stderr
    assert not box.command.exists()
