"""`agent tool`: what it puts into the tool cache is found by GitHub's own client, and works there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.git import make_repository
from support.lab import Done, run_agent
from support.second_user import open_folder, second_user

from agent.machine.python_copies import find_whole_python

PYTHON = ".".join(map(str, sys.version_info[:3]))
MACHINE = {"x86_64": "x64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
FIND = """
const tc = require("@actions/tool-cache");
const [tool, spec, arch] = process.argv.slice(1);
process.stdout.write("\\n" + JSON.stringify([tc.find(tool, spec, arch || undefined), tc.findAllVersions(tool, arch || undefined)]));
"""


def tool(folder: Path, *words: str) -> Done:
    return run_agent(
        "tool", *words, environment={"AGENT_WORK_DIR": str(folder), "AGENT_STATE": str(folder / "state")}
    )


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with @actions/tool-cache, as setup-python, setup-node and setup-uv bundle it."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "package.json").write_text('{"private": true}')
    command = [
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--silent",
        "--ignore-scripts",
        "@actions/tool-cache@2",
    ]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        reason = done.stderr.strip()[-300:] if done.returncode else ""
    except FileNotFoundError:
        reason = "npm is not on this machine"
    if reason:
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(f"no @actions/tool-cache: {reason}")
    return folder


def find(client: Path, work: Path, *words: str) -> tuple[str, list[str]]:
    """What the client finds, and all versions that it sees."""
    done = subprocess.run(
        ["node", "-e", FIND, *words],
        cwd=client,
        env={**os.environ, "RUNNER_TOOL_CACHE": str(work / "_tool"), "RUNNER_TEMP": str(work)},
        capture_output=True,
        text=True,
        check=True,
    )
    place, versions = json.loads(done.stdout.rpartition("\n")[2])
    return place, versions


def test_the_machines_python_is_found_by_githubs_client_and_is_an_installation_of_its_own(
    client: Path, tmp_path: Path
) -> None:
    assert find(client, tmp_path, "Python", "3.x") == ("", [])
    added = tool(tmp_path, "add", "python", PYTHON, "--from", sys.executable, "--format", "json").json()
    folder = tmp_path / "_tool" / "Python" / PYTHON / MACHINE
    assert (added["version"], added["folder"]) == (PYTHON, str(folder))
    assert (tmp_path / "_tool" / "Python" / PYTHON / f"{MACHINE}.complete").is_file()
    minor = PYTHON.rpartition(".")[0]
    assert find(client, tmp_path, "Python", minor) == (str(folder), [PYTHON])
    python = folder / "bin" / "python"
    shown = "import ssl, sys; print(sys.prefix, sys.prefix == sys.base_prefix)"
    said = subprocess.run([python, "-I", "-c", shown], capture_output=True, text=True, check=True)
    # What is a part of a system (Debian's /usr/bin/python3) can only be an environment.
    is_whole = find_whole_python(sys.executable) is not None
    assert said.stdout.split() == [str(folder), str(is_whole)]
    subprocess.run([folder / "bin" / "pip", "--version"], capture_output=True, check=True)
    installed = {path.name.partition("-")[0] for path in folder.glob("lib/python*/site-packages/*")}
    assert installed <= {"pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils", "__pycache__"}
    if is_whole:
        assert not [path for path in folder.glob("bin/python*") if not path.resolve().is_relative_to(folder)]


def test_the_machines_node_is_found_by_githubs_client_and_installs_into_the_cache(
    client: Path, tmp_path: Path
) -> None:
    node = str(shutil.which("node"))
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()[
        1:
    ]
    assert tool(tmp_path, "add", "node", version.partition(".")[0], "--from", node).code == 0
    folder = tmp_path / "_tool" / "node" / version / MACHINE
    assert find(client, tmp_path, "node", version.partition(".")[0]) == (str(folder), [version])
    path = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    prefix = ["npm", "prefix", "--global"]
    said = subprocess.run(prefix, env=path, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(folder)


def test_a_uv_lies_where_setup_uv_looks_for_it(client: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("uv", "uvx"):
        (programs / name).write_text("#!/bin/sh\necho uv 0.9.3\n")
        (programs / name).chmod(0o755)
    assert tool(tmp_path, "add", "uv", "--from", str(programs / "uv")).code == 0
    folder = tmp_path / "_tool" / "uv" / "0.9.3" / os.uname().machine
    assert find(client, tmp_path, "uv", "0.9.x", os.uname().machine) == (str(folder), ["0.9.3"])
    assert os.access(folder / "uvx", os.X_OK)


def test_a_tool_that_can_not_be_made_is_not_in_the_cache_afterwards(tmp_path: Path) -> None:
    broken = tmp_path / "python3"
    broken.write_text(
        '#!/bin/sh\ncase "$*" in *venv*) echo no ensurepip here; exit 1;; esac\n'
        f'exec \'{sys.executable}\' -I -c "print(\'[[3, 9, 1, \\"final\\", 0], \\"$0\\", \\"cpython\\"]\')"\n'
    )
    broken.chmod(0o755)
    done = tool(tmp_path, "add", "python", "--from", str(broken))
    assert done.code == 1
    assert "no ensurepip here" in done.err
    assert "python3-venv" in done.err
    assert not list((tmp_path / "_tool").glob("*/*/*"))


def test_what_the_machine_does_not_have_is_said_with_what_it_has(tmp_path: Path) -> None:
    done = tool(tmp_path, "add", "python", "2.6")
    assert done.code == 1
    assert "this machine has no python 2.6; there is " in done.err
    assert "uv python install 2.6" in done.err
    assert tool(tmp_path, "add", "python", "--from", "/bin/true").code == 2
    assert tool(tmp_path, "add", "python", "2.6", "--from", sys.executable).code == 2


def test_list_and_doctor_tell_what_is_cached_and_what_could_be(tmp_path: Path) -> None:
    before = tool(tmp_path, "list", "--format", "json").json()
    assert ("python", PYTHON, "not offered") in [
        (row["tool"], row["version"], row["state"]) for row in before
    ]
    assert tool(tmp_path, "add", "python", PYTHON).code == 0
    after = [
        (row["tool"], row["version"], row["state"])
        for row in tool(tmp_path, "list", "--format", "json").json()
    ]
    assert ("Python", PYTHON, "cached") in after
    assert ("python", PYTHON, "not offered") not in after
    environment = {"AGENT_WORK_DIR": str(tmp_path), "AGENT_STATE": str(tmp_path / "state")}
    checks = run_agent("doctor", "--format", "json", environment=environment).json()["checks"]
    (found,) = (check for check in checks if check["check"] == "tool cache")
    assert f"Python {PYTHON}" in found["found"]


def test_a_setup_action_that_fails_for_want_of_a_tool_says_what_to_do(tmp_path: Path) -> None:
    """The manifest call is one line of setup-python's; what it comes to without the internet is the same."""
    manifest = "name: s\ninputs: {python-version: {}}\nruns: {using: python, main: main.py}\n"
    make_repository(
        tmp_path / "git" / "actions" / "setup-python",
        {"action.yml": manifest, "main.py": "raise SystemExit(1)"},
    )
    (tmp_path / "flow.yml").write_text(
        "on: push\njobs:\n  a:\n    runs-on: self-hosted\n    steps:\n"
        "      - {uses: actions/setup-python@v1, with: {python-version: '3.2'}}\n"
    )
    environment = {
        "AGENT_WORK_DIR": str(tmp_path / "work"),
        "AGENT_STATE": str(tmp_path / "state"),
        "AGENT_ACTIONS_URL": f"file://{tmp_path}/git/{{owner}}/{{repo}}",
    }
    done = run_agent("flow", "run", "flow.yml", "--format", "json", cwd=tmp_path, environment=environment)
    said = [record["text"] for record in done.records() if record["kind"] == "log"]
    assert any("has no Python 3.2, so 'actions/setup-python' asked the internet" in line for line in said)
    assert any("`agent tool add python 3.2`" in line for line in said)


def test_what_root_offers_is_made_with_no_more_rights_than_the_jobs_have_in_whose_cache_it_is() -> None:
    """A job, at work while root adds a tool, puts a link in the tool's way: it leads to where only root may write."""
    with second_user() as user, open_folder() as folder:
        tools, private = folder / "_tool", folder / "private"
        for made in (tools, private):
            made.mkdir()
        private.chmod(0o700)
        os.chown(tools, user.uid, user.gid)
        program = folder / "uv"
        program.write_text("#!/bin/sh\necho uv 0.9.3\n")
        program.chmod(0o755)
        add = [user.python, "-s", "-m", "agent", "tool", "add", "uv", "--from", str(program)]
        environment = {**os.environ, **user.environment, "AGENT_WORK_DIR": str(folder)}

        done = subprocess.run(add, env=environment, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        place = tools / "uv" / "0.9.3" / os.uname().machine
        assert {path.stat().st_uid for path in (place, place / "uv", place.parent)} == {user.uid}

        shutil.rmtree(tools / "uv")
        (tools / "uv").symlink_to(private)
        done = subprocess.run(add, env=environment, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "the tool cache can't be written" in done.stderr
        assert list(private.iterdir()) == []
