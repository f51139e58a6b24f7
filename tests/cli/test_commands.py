"""The whole tree of commands: what is promised is there, each with an example; shells complete it."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.command_tree import Command, read_commands
from agent.cli.completion import write_bash, write_fish, write_zsh
from agent.cli.main import run_command
from agent.cli.terminal.tables import print_table, wants_colour

COMMANDS = {" ".join(command.path): command for command in read_commands()}
LEAVES = [command for command in COMMANDS.values() if command.path and not command.commands]

# What scripts and editors may count on.
PROMISED = """
demo|doctor|flow validate|flow show|flow eval|flow run|flow submit|server|server token create|server token list
server token revoke|server user|server project|server migrate|register|start|status|drain|unregister|machine show
login|run list|run show|run logs|run watch|run cancel|run rerun|run download|secret set|secret list|secret delete
variable set|variable list|variable delete|artifact list|artifact download|action init|action info|action lock
action update|action verify|action cache|completion|artifact upload|run attach|run resume|tag add|tag list|tag delete
dataset list|dataset show|dataset create|dataset push|dataset pull|dataset delete|dataset lineage|server backup|server restore
"""
# These print a file, follow something in the foreground, or make something: there is no data to print.
WITHOUT_FORMAT = {"demo", "flow schema", "completion", "login", "start", "action init", "run attach"}


@pytest.mark.parametrize("name", PROMISED.replace("\n", "|").strip("|").split("|"))
def test_a_promised_command_is_there(name: str) -> None:
    assert name in COMMANDS


@pytest.mark.parametrize("command", LEAVES, ids=lambda command: " ".join(command.path))
def test_a_command_has_a_meaning_an_example_and_a_format(command: Command) -> None:
    name = " ".join(command.path)
    assert command.meaning
    assert f"agent {name}" in command.example
    assert ("--format" in command.options) == (name not in WITHOUT_FORMAT)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_says_the_example_and_exits_with_0(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = run_command([*name.split(), "--help"])
    except SystemExit as ended:  # how argparse ends its help
        code = int(ended.code or 0)
    assert code == 0
    assert "example" in capsys.readouterr().out


CASES = [
    ("agent ru", {"run"}),
    ("agent run ", {"list", "show", "logs", "watch", "cancel", "download"}),
    ("agent run list --status ", {"queued", "running", "completed"}),
    ("agent run list --form", {"--format"}),
    ("agent run list --format j", {"json"}),
    ("agent server token ", {"create", "list", "revoke"}),
    ("agent completion ", {"bash", "zsh", "fish"}),
]


def find_shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        message = f"{name} is not installed"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def run_shell(arguments: list[str], folder: Path) -> set[str]:
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "TERM": "dumb"}
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert done.stderr == ""
    return {line.split("\t")[0] for line in done.stdout.splitlines() if line}


@pytest.mark.parametrize(("line", "wanted"), CASES)
def test_bash_completes(tmp_path: Path, line: str, wanted: set[str]) -> None:
    script = tmp_path / "agent.bash"
    script.write_text(write_bash(read_commands()))
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    program = (
        f"source {script}; complete -p agent >/dev/null; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
        '_agent; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    found = run_shell([find_shell("bash"), "--norc", "-c", program], tmp_path)
    assert wanted <= found
    assert all(word.startswith(words[-1]) for word in found)


@pytest.mark.parametrize(("line", "wanted"), CASES)
def test_zsh_completes(tmp_path: Path, line: str, wanted: set[str]) -> None:
    script = tmp_path / "_agent"
    script.write_text(write_zsh(read_commands()))
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    program = (  # zsh itself filters by what is typed
        "compdef() { : }; _files() { : }; compadd() { shift; print -l -- $@ }; "
        f"source {script}; words=({quoted}); CURRENT={len(words)}; _agent"
    )
    assert wanted <= run_shell([find_shell("zsh"), "-f", "-c", program], tmp_path)


@pytest.mark.parametrize(("line", "wanted"), CASES)
def test_fish_completes(tmp_path: Path, line: str, wanted: set[str]) -> None:
    script = tmp_path / "agent.fish"
    script.write_text(write_fish(read_commands()))
    program = f"source {script}; complete -C '{line}'"
    found = run_shell([find_shell("fish"), "--no-config", "-c", program], tmp_path)
    assert wanted <= found


def test_the_command_prints_the_script_and_loads_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys; from agent.__main__ import main; sys.argv = ['agent', 'completion', 'bash']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('LOADED', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == write_bash(read_commands())
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert not loaded & {"httpx", "docker", "sqlalchemy", "starlette", "cryptography", "yaml", "websockets"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "is_terminal", "wanted"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, True),
    ],
)
def test_colours_are_where_they_are_wanted(environ: dict[str, str], is_terminal: bool, wanted: bool) -> None:
    assert wants_colour(Terminal() if is_terminal else io.StringIO(), environ) is wanted


def test_a_state_is_coloured_and_the_columns_stay_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = io.StringIO()
    print_table(["run", "state", "who"], [[1, "success", "ada"], [2, "\x1b[5mx", "bob"]], out, state=1)
    lines = out.getvalue().splitlines()
    assert lines[1] == "1    \x1b[32msuccess \x1b[0m  ada"
    assert lines[2] == "2    \\x1b[5mx  bob"
