"""A state folder that can't be read or written is a sentence for every command: what, where, what to do."""

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.fake_server import fake_server
from support.lab import command_line
from support.small_disk import SmallDisk, small_disk, why_no_small_disks

from agent.daemon.state import StateFolder

COMMANDS = {
    "register": ("--url", "http://127.0.0.1:9", "--token", "x", "--replace"),
    "start": (),
    "status": (),
    "drain": (),
    "unregister": ("--local",),
}
READING = ("start", "status", "drain", "unregister")
# Root may do everything; without its capabilities it is a user like others, and the tests' files are its own.
AS_A_USER = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


def run_agent(state: Path, command: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "AGENT_STATE": str(state), "AGENT_REGISTRATION_TOKEN": ""}
    line = [*AS_A_USER, *command_line(command, *words)]
    return subprocess.run(
        line, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def assert_is_a_sentence(done: subprocess.CompletedProcess[str], what: str, where: Path, code: int) -> None:
    said = [line for line in done.stderr.splitlines() if line.startswith("agent: ")]
    assert (done.returncode, len(said)) == (code, 1), done.stderr
    assert said[0].startswith(f"agent: the state {what}"), said
    assert f"({where}" in said[0]
    assert "AGENT_STATE" in said[0].split("; ", 1)[1]
    assert "Errno" not in done.stderr + done.stdout


@pytest.fixture
async def registered(tmp_path: Path) -> StateFolder:
    state = StateFolder(tmp_path / "state")
    async with fake_server() as server:
        server.register(state)
    return state


@pytest.fixture
async def mounted(tmp_path: Path) -> AsyncIterator[tuple[StateFolder, SmallDisk]]:
    if reason := why_no_small_disks():
        pytest.skip(reason)
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        state = StateFolder(tmp_path / "disk" / "state")
        async with fake_server() as server:
            server.register(state)
        yield state, disk


@pytest.mark.parametrize("command", COMMANDS)
def test_something_else_in_the_place_of_the_state_is_wrong_use(tmp_path, command):
    file = tmp_path / "file"
    file.write_text("")
    for state in (file, file / "below"):
        done = run_agent(state, command, *COMMANDS[command])
        assert_is_a_sentence(done, f"can't be in {state}", file, 2)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_link_that_leads_nowhere_in_the_place_of_the_state_is_wrong_use(tmp_path, command):
    dangling, loop = tmp_path / "dangling", tmp_path / "loop"
    dangling.symlink_to("gone")
    loop.symlink_to("loop")
    for link in (dangling, loop):
        for state in (link, link / "below"):
            done = run_agent(state, command, *COMMANDS[command])
            assert_is_a_sentence(done, f"can't be in {state}", link, 2)
            assert f"({link.readlink()})" in done.stderr
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("command", READING)
def test_a_machine_that_can_not_be_registered_is_not_sent_to_do_so(tmp_path, command):
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o500)
    for state in (folder, folder / "below"):
        done = run_agent(state, command, *COMMANDS[command])
        why = (
            "this machine is not registered, and can't be: the state folder can't be used: Permission denied"
        )
        assert done.returncode == 1
        assert done.stderr == (
            f"agent: {why} ({state}); run this as the user whose folder it is, or name another with AGENT_STATE\n"
        )


async def test_an_agent_that_can_not_be_started_says_why_in_its_status(registered):
    registered.path.chmod(0o500)
    try:
        done = run_agent(registered.path, "status")
    finally:
        registered.path.chmod(0o700)
    assert "no; it can't be started: the state folder can't be used: Permission denied" in done.stdout
    assert "agent start" not in done.stdout
    assert "no; start it with `agent start`" in run_agent(registered.path, "status").stdout


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_state_that_we_may_not_look_into_is_somebody_elses(registered, command):
    registered.path.chmod(0)
    try:
        done = run_agent(registered.path, command, *COMMANDS[command])
        below = run_agent(registered.path / "below", command, *COMMANDS[command])
    finally:
        registered.path.chmod(0o700)
    assert_is_a_sentence(done, "folder can't be used: Permission denied", registered.path, 1)
    assert_is_a_sentence(below, "folder can't be used: Permission denied", registered.path / "below", 1)


@pytest.mark.parametrize("command", ["register", "start", "drain", "unregister"])
async def test_a_state_that_we_may_only_read_is_not_written(registered, command):
    registered.path.chmod(0o500)
    try:
        done = run_agent(registered.path, command, *COMMANDS[command])
    finally:
        registered.path.chmod(0o700)
    assert_is_a_sentence(done, "folder can't be used: Permission denied", registered.path, 1)
    assert registered.registration.exists()


@pytest.mark.parametrize("command", ["register", "start", "drain", "unregister"])
async def test_a_read_only_file_system_is_told(mounted, command):
    state, _ = mounted
    subprocess.run(["mount", "-o", "remount,ro", state.path.parent], check=True)
    done = run_agent(state.path, command, *COMMANDS[command])
    assert_is_a_sentence(done, "folder can't be used: Read-only file system", state.path, 1)
    assert "mount it" in done.stderr
    assert run_agent(state.path, "status").stdout.startswith("agent ")


async def test_a_full_disk_is_told_by_who_registers(mounted):
    state, disk = mounted
    disk.fill()
    done = run_agent(state.path, "register", *COMMANDS["register"])
    assert_is_a_sentence(done, "folder can't be used: No space left on device", state.path, 1)
    assert state.load_registration().name


async def test_a_registration_that_is_locked_says_once_where_it_is(registered):
    registered.registration.chmod(0)
    for command in READING:
        done = run_agent(registered.path, command, *COMMANDS[command])
        assert done.returncode == 1
        assert done.stderr.count(str(registered.registration)) == 1
        assert "; run this as the agent's user" in done.stderr


async def test_the_doctor_says_what_is_wrong_with_the_state_in_sentences(tmp_path, registered):
    file = tmp_path / "file"
    file.write_text("")
    assert f"✗ state: {file} is not a folder; name another" in run_agent(file / "below", "doctor").stdout
    link = tmp_path / "link"
    link.symlink_to("gone")
    assert f"✗ state: {link} is a link to no folder; name another" in run_agent(link, "doctor").stdout
    registered.path.chmod(0)
    try:
        shown = run_agent(registered.path / "below", "doctor").stdout
    finally:
        registered.path.chmod(0o700)
    assert f"✗ state: nothing can be written in {registered.path}: Permission denied; make room" in shown
    assert "✗ leftovers: the state folder can't be used: Permission denied" in shown
    assert "Errno" not in shown
