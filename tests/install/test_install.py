"""install/install.sh and install/uninstall.sh, run for real into a home folder of their own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT, Box, run_script

TOKEN = "fa_reg_secret"
REGISTRATION = ["--url", "https://flows.example", "--name", "box one", "--labels", "a,b"]
SCRIPTS = ["install.sh", "uninstall.sh"]


def start_job(version: Path) -> subprocess.Popen[bytes]:
    """A process in an installed environment, as a job's supervisor is; it ends when its standard input does."""
    command = [version / "bin/python", "-c", "import sys; print(flush=True); sys.stdin.read()"]
    job = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert job.stdout is not None
    job.stdout.readline()
    return job


def end_job(job: subprocess.Popen[bytes]) -> int:
    job.communicate()
    return job.returncode


def test_installing_registers_once_and_again_is_an_upgrade(box: Box):
    first = box.install(*REGISTRATION, AGENT_REGISTRATION_TOKEN=TOKEN)
    assert (first.returncode, first.stderr) == (0, "")
    assert "done: agent 1.0" in first.stdout
    assert f"start it with: {box.command} start" in first.stdout
    assert box.command.readlink() == box.prefix / "venv/bin/agent"
    [old] = box.list_versions()

    job = start_job(old)
    second = box.install(*REGISTRATION, AGENT_REGISTRATION_TOKEN=TOKEN, version="2.0")
    assert (second.returncode, second.stderr) == (0, "")
    assert "done: agent 2.0" in second.stdout
    assert old in box.list_versions(), "a job still runs in it"
    assert len(box.list_versions()) == 2

    end_job(job)
    third = box.install(version="2.0")
    assert (third.returncode, third.stderr) == (0, "")
    assert [version.resolve() for version in box.list_versions()] == [(box.prefix / "venv").resolve()]
    # One registration in three runs, and the token in its environment only.
    argv = ["register", "--url", "https://flows.example", "--name", "box one", "--labels", "a,b"]
    assert box.calls == [{"argv": argv, "token": TOKEN}]
    assert sorted(path.name for path in box.prefix.iterdir()) == ["registered", "venv", "versions"]


def test_who_installs_without_a_token_is_told_to_register_first(box: Box):
    done = box.install()
    assert done.returncode == 0, done.stderr
    assert f"register it with: {box.command} register --url" in done.stdout
    assert f"; then start it with: {box.command} start" in done.stdout


def test_a_first_installation_that_fails_leaves_nothing(box: Box):
    no_wheel = box.wheels / "no_wheel-1.0-py3-none-any.whl"
    no_wheel.write_text("no wheel")
    result = box.install("--package", str(no_wheel))
    assert result.returncode == 1
    assert f"install.sh: pip could not install {no_wheel}; see above; nothing was changed" in result.stderr
    assert list((box.home / ".local").rglob("*")) == [box.home / ".local/share"]


def test_an_upgrade_that_fails_leaves_what_was_there(box: Box):
    box.install()
    before = box.list_versions()
    result = box.install(version="broken")
    assert result.returncode == 1
    assert "the installed agent does not start" in result.stderr
    assert box.list_versions() == before
    assert subprocess.check_output([box.command, "--version"], env={"HOME": str(box.home)}) == b"agent 1.0\n"


def test_a_registration_that_fails_can_be_tried_again(box: Box):
    options = [*REGISTRATION, "--token", TOKEN]
    failed = box.install(*options, FAKE_AGENT_FAILS="register")
    assert failed.returncode == 1
    assert "agent: it failed" in failed.stderr
    assert (
        "the agent is installed but could not be registered; see above; then run this again" in failed.stderr
    )
    assert TOKEN not in failed.stdout + failed.stderr
    assert not (box.prefix / "registered").exists()
    assert box.install(*options).returncode == 0
    assert [call["argv"][0] for call in box.calls] == ["register"]

    other = box.install("--url", "https://other.example", "--token", TOKEN)
    assert other.returncode == 1
    assert "this machine is registered with https://flows.example" in other.stderr


def test_uninstalling_waits_for_jobs_and_keeps_the_identity(box: Box):
    box.install(*REGISTRATION, "--token", TOKEN)
    identity = box.prefix / "agent/identity.json"
    identity.parent.mkdir()
    identity.touch()
    job = start_job(box.prefix / "venv")

    refused = box.run("uninstall.sh")
    assert refused.returncode == 1
    assert f"jobs are still running (processes: {job.pid})" in refused.stderr
    assert box.command.exists()

    removed = box.run("uninstall.sh", "--force")
    assert (removed.returncode, removed.stderr) == (0, "")
    assert end_job(job) == -15
    assert box.calls[-1]["argv"] == ["unregister"]
    assert not box.command.is_symlink()
    assert [path.name for path in box.prefix.iterdir()] == ["agent"]

    again = box.run("uninstall.sh", "--purge")
    assert (again.returncode, again.stderr) == (0, "")
    assert not box.prefix.exists()


def test_uninstalling_purges_nothing_that_belongs_to_a_server(box: Box):
    (box.prefix / "server").mkdir(parents=True)
    (box.prefix / "agent").mkdir()
    assert box.run("uninstall.sh", "--purge").returncode == 0
    assert [path.name for path in box.prefix.iterdir()] == ["server"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bogus"], "there is no option '--bogus'"),
        (["extra"], "there is no option 'extra'"),
        (["--url"], "--url needs a value"),
        (["--url", "https://x"], "--url needs a token"),
        (["--token", "t"], "a token needs the server that gave it"),
        ([], "nothing says what to install"),
        (["--package", "flow-agent"], "--package flow-agent is neither a file nor a URL"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_done(box: Box, arguments: list[str], message: str):
    result = box.run("install.sh", *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith(f"install.sh: {message}; ")
    assert list(box.home.iterdir()) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_has_an_example(box: Box, script: str):
    result = box.run(script, "--help")
    assert result.returncode == 0
    assert "Example: " in result.stdout
    assert list(box.home.iterdir()) == []


def test_another_program_called_agent_is_not_overwritten(box: Box):
    box.command.parent.mkdir(parents=True)
    box.command.write_text("somebody else's")
    result = box.run("install.sh")
    assert result.returncode == 1
    assert f"{box.command} is some other program; move it away" in result.stderr
    assert box.command.read_text() == "somebody else's"
    assert not box.prefix.exists()


def make_path(folder: Path, **programs: str) -> str:
    """A PATH with the few tools that the installer needs and `programs` (shell scripts by name)."""
    folder.mkdir()
    for name in ("id", "uname", "readlink"):
        (folder / name).symlink_to(shutil.which(name) or name)
    for name, script in {"apt-get": "", **programs}.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("python", "message"),
    [
        (None, "Python 3.11 or newer is needed (there is none here)"),
        (
            'case "$2" in *print*) echo 3.9 ;; *) exit 1 ;; esac',
            "Python 3.11 or newer is needed (python3 is 3.9)",
        ),
        (
            'case "$2" in *venv*) exit 1 ;; *print*) echo 3.12 ;; esac',
            "Python 3.12 cannot make virtual environments",
        ),
    ],
)
def test_without_a_python_that_will_do_it_says_what_to_install(
    box: Box, tmp_path: Path, python: str, message: str
):
    path = make_path(tmp_path / "bin", **({"python3": python} if python else {}))
    shell = shutil.which("sh") or "/bin/sh"
    command = [shell, ROOT / "install/install.sh", "--user"]
    env = {"PATH": path, "HOME": str(box.home)}
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert message in result.stderr
    assert "run: apt-get install python3.12" in result.stderr
    assert list(box.home.iterdir()) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_download_that_is_cut_off_does_nothing(box: Box, tmp_path: Path, script: str):
    (box.prefix / "versions").mkdir(parents=True)
    before = sorted(box.home.rglob("*"))
    text = (ROOT / "install" / script).read_text()
    assert text.endswith('\nmain "$@"\n')
    cut = tmp_path / "cut.sh"
    for end in range(0, len(text) - len('main "$@"\n'), 211):
        cut.write_text(text[:end])
        result = run_script(cut, ["--user", "--force"], {"HOME": str(box.home)})
        assert result.stdout == ""
        assert sorted(box.home.rglob("*")) == before


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "shellcheck"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_posix_shell(script: str, shell: str):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    options = ["--severity=warning"] if shell == "shellcheck" else ["-n"]
    subprocess.run([shell, *options, ROOT / "install" / script], check=True)
