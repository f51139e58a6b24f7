"""`agent run attach` from a real terminal to a job on a real agent; and `kill -9` of everything in between."""

import os
import signal
import termios
from pathlib import Path
from typing import Any

import pytest
from support.at_terminal import AtTerminal, at_terminal
from support.lab import Lab, wait_for

from agent.job.process.proc import is_alive

FLOW = """
  train:
    runs-on: self-hosted
    env:
      MODEL: big
    steps:
      - run: |
          touch {folder}/begun
          until [ -e {folder}/go ]; do sleep 0.05; done
      - run: touch {folder}/done
"""


@pytest.fixture
def run(lab: Lab) -> int:
    """A run whose job has begun and waits for the file `go`."""
    lab.add_agent("box")
    run = lab.submit(lab.write_flow(FLOW.format(folder=lab.folder)))
    wait_for((lab.folder / "begun").exists, "the job to begin")
    return run


def check_unharmed(lab: Lab, run: int) -> None:
    (lab.folder / "go").touch()
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert (lab.folder / "done").exists()


def shell_of(terminal: AtTerminal, folder: Path) -> int:
    """The process id of the shell at the other end, which waits at its prompt.

    Before that, readline sets the terminal to the size that it has just read there: a change between the two is undone.
    """
    terminal.type(f"PS1='at the pro''mpt> '; echo $$ > {folder}/pid; echo 'rea''dy'\n")
    terminal.read_until("ready\r\n")
    terminal.read_until("at the prompt> ")
    return int((folder / "pid").read_text())


def audit_of(lab: Lab, **wanted: str) -> list[dict[str, Any]]:
    import httpx

    headers = {"Authorization": f"Bearer {lab.admin_token}"}
    return list(httpx.get(f"{lab.url}/api/v1/audit", headers=headers, params=wanted).json()["entries"])


def test_a_person_sits_in_the_job_and_leaves_it_as_it_was(lab: Lab, run: int) -> None:
    with at_terminal(lab.environment, "run", "attach", str(run), "train") as terminal:
        terminal.read_until("attaching to train on box")
        terminal.type('stty size; echo "model $MODEL"\n')
        terminal.read_until("33 99\r\n")
        terminal.read_until("model big\r\n")
        terminal.type("(trap 'echo inter''rupted; exit 3' INT; echo rea''dy; sleep 1000 & wait)\n")
        terminal.read_until("ready\r\n")
        terminal.type("\x03")
        terminal.read_until("interrupted\r\n")
        termios.tcsetwinsize(terminal.file, (40, 120))
        terminal.type("stty size\n")
        terminal.read_until("40 120\r\n")
        terminal.type("exit 7\n")
        assert terminal.finish() == 7
    (ended, began) = [entry for entry in audit_of(lab) if "attach" in entry["action"]]
    assert began["detail"]["run"] == ended["detail"]["run"] == run
    assert began["detail"]["agent"] == "box"
    assert began["address"] == "127.0.0.1"
    assert ended["detail"]["exit_code"] == 7
    check_unharmed(lab, run)
    log = lab.lines(run, "train")
    assert any("attached from 127.0.0.1, for a shell" in line for line in log)
    assert any("exit code 7" in line for line in log)


def test_what_is_typed_after_a_change_of_size_finds_the_new_one_also_when_no_signal_told_of_it(
    lab: Lab, run: int
) -> None:
    with at_terminal(lab.environment, "run", "attach", str(run), "train", is_controlling=False) as terminal:
        shell_of(terminal, lab.folder)
        termios.tcsetwinsize(terminal.file, (40, 120))
        terminal.type("stty size; echo en''d\n")
        terminal.read_until("end\r\n")
        assert b"40 120\r\n" in terminal.shown
        terminal.type("exit\n")
        assert terminal.finish() == 0
    check_unharmed(lab, run)


def test_the_way_out_leaves_the_job_and_ends_the_shell(lab: Lab, run: int) -> None:
    with at_terminal(lab.environment, "run", "attach", str(run)) as terminal:
        shell = shell_of(terminal, lab.folder)
        terminal.type("\r~.")
        assert terminal.finish() == 0
        assert b"left; the job goes on" in terminal.shown
        wait_for(lambda: not is_alive(shell), "the shell to go")
    check_unharmed(lab, run)


def test_without_a_terminal_the_streams_and_the_exit_code_are_the_commands(lab: Lab, run: int) -> None:
    done = lab.agent(
        "run",
        "attach",
        str(run),
        "train",
        "--command",
        "tr a-z A-Z; echo $MODEL; echo oops >&2; exit 3",
        given="hello\n" * 20000,
    )
    assert (done.code, done.out) == (3, "HELLO\n" * 20000 + "big\n")
    assert done.err.splitlines() == ["attaching to train on box", "oops"]
    assert lab.agent("run", "attach", str(run), "--command", "echo", "a  b", "$MODEL").out == "a  b $MODEL\n"
    (lab.folder / "go").touch()
    lab.wait_for_run(run)
    late = lab.agent("run", "attach", str(run), "train")
    assert late.code == 1
    assert "the job train has ended: there is nothing to attach to" in late.err


def test_whoever_comes_before_the_job_begins_is_told_what_it_waits_for(lab: Lab) -> None:
    run = lab.submit(lab.write_flow(FLOW.format(folder=lab.folder)))
    with at_terminal(lab.environment, "run", "attach", str(run)) as terminal:
        terminal.read_until("waiting for job train to start")
        lab.add_agent("box")
        terminal.type("exit\n")
        assert terminal.finish() == 0
    check_unharmed(lab, run)


def test_a_killed_command_leaves_nothing_behind(lab: Lab, run: int) -> None:
    with at_terminal(lab.environment, "run", "attach", str(run)) as terminal:
        shell = shell_of(terminal, lab.folder)
        terminal.process.send_signal(signal.SIGKILL)
        wait_for(lambda: not is_alive(shell), "the shell to go")
    wait_for(lambda: audit_of(lab)[0]["detail"].get("message") == "hung up", "the end in the audit log")
    check_unharmed(lab, run)


@pytest.mark.parametrize("victim", ["box", "server"])
def test_a_killed_daemon_or_server_ends_the_session_and_not_the_job(lab: Lab, run: int, victim: str) -> None:
    with at_terminal(lab.environment, "run", "attach", str(run)) as terminal:
        shell = shell_of(terminal, lab.folder)
        lab.kill(victim)
        assert terminal.finish() == 1
        assert b"the job goes on" in terminal.shown
        wait_for(lambda: not is_alive(shell), "the shell to go")
    if victim == "server":
        lab.start_server()
        wait_for(lambda: lab.agent_view("box")["status"] == "online", "the agent to come back")
    else:
        lab.start_agent("box")
    check_unharmed(lab, run)


def test_nobody_is_left_behind_by_a_killed_supervisor(lab: Lab, run: int) -> None:
    from support.lab import supervisor_pids

    with at_terminal(lab.environment, "run", "attach", str(run)) as terminal:
        shell = shell_of(terminal, lab.folder)
        (folder,) = (path for path in (lab.state("box") / "jobs").iterdir() if (path / "spec.json").exists())
        for pid in supervisor_pids(folder):
            os.kill(pid, signal.SIGKILL)
        assert terminal.finish() == 1
        wait_for(lambda: not is_alive(shell), "the shell to go")
    assert lab.wait_for_run(run)["conclusion"] == "failure"


HELD = """
  train:
    runs-on: self-hosted
    steps:
      - run: test -e {folder}/mended
"""


def test_a_job_that_fails_is_held_shown_and_let_go(lab: Lab) -> None:
    lab.add_agent("box")
    flow = lab.write_flow(HELD.format(folder=lab.folder))
    run = lab.submit(flow, "--source", "none", "--hold-on-failure", "30m")
    wait_for(lambda: lab.run(run)["jobs"][0]["waiting"], "the job to be held")
    shown = lab.agent("run", "show", str(run)).out
    assert "Held until" in shown
    assert "held: train" in lab.agent("run", "list").out
    done = lab.agent("run", "attach", str(run), "--command", "echo looking")
    assert (done.code, done.out) == (0, "looking\n"), done.err
    assert lab.agent("run", "resume", str(run), "train").out == "train goes on\n"
    view = lab.wait_for_run(run)
    assert view["conclusion"] == "failure"
    assert view["jobs"][0]["waiting"] == ""
    assert "held" not in lab.agent("run", "list").out
    assert any("agent run attach" in line for line in lab.lines(run, "train"))

    lab.get("run", "rerun", str(run), "--hold-on-failure", "1h")
    wait_for(lambda: lab.run(run)["jobs"][0]["waiting"], "the job to be held again")
    assert lab.agent("run", "cancel", str(run)).code == 0
    assert lab.wait_for_run(run)["conclusion"] == "cancelled"
    late = lab.agent("run", "resume", str(run), "train")
    assert late.code == 1
    assert "has ended" in late.err
