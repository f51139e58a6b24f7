"""Whatever standard output leads to, and whoever the user is: a command says what it has to say and never stops halfway."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.lab import command_line

from agent.cli.command_tree import read_commands
from agent.cli.local_files.values import read_value
from agent.cli.main import run_command
from agent.cli.terminal.streams import prepare_streams
from agent.cli.terminal.tables import print_json
from agent.errors import UsageError

NAMES = sorted(" ".join(command.path) for command in read_commands())
FLOW = """
name: Prüfung ✓
on: workflow_dispatch
jobs:
  a:
    runs-on: self-hosted
    steps:
      - name: Größe – messen
        run: echo 'naïve ✓ 日本 🚀'
"""
ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "strict ascii": {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C": {"LC_ALL": "C"},
    "C without UTF-8": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "POSIX": {"LC_ALL": "POSIX", "PYTHONUTF8": "0"},
    "ISO-8859-1": {"LC_ALL": "en_US.ISO-8859-1"},
}


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the C library finds a locale that is not UTF-8: few machines have one by themselves."""
    place = tmp_path_factory.mktemp("locales") / "en_US.ISO-8859-1"
    words = ["localedef", "--no-warnings=ascii", "-c", "-i", "en_US", "-f", "ISO-8859-1", str(place)]
    subprocess.run(words, capture_output=True, check=False)
    if not place.is_dir():
        message = "the sources of locales are not installed: apt-get install locales"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return str(place.parent)


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    file = folder / "flow.yml"
    file.write_text(FLOW, encoding="utf-8")
    return file


def run(flow: Path, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))
    }
    state = {"AGENT_STATE": str(flow.parent.parent / "state"), "TMPDIR": str(flow.parent.parent)}
    return subprocess.run(
        command_line(*words),
        env={**kept, **state, **environment},
        cwd=flow.parent,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "words",
    [
        "flow run flow.yml",
        "flow run flow.yml --format json",
        "flow show flow.yml",
        "flow validate flow.yml",
        "doctor",
    ],
)
def test_no_encoding_stops_a_command(flow: Path, locales: str, words: str, encoding: str) -> None:
    done = run(flow, *words.split(), LOCPATH=locales, **ENCODINGS[encoding])
    assert b"a bug" not in done.stderr
    assert done.returncode == (done.returncode if words == "doctor" else 0), done.stderr


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_job_has_its_words_and_files_in_any_encoding(flow: Path, locales: str, encoding: str) -> None:
    steps = 'mkdir größe && printf %s "$WORD" > größe/日本 && ls größe && cat größe/日本'
    flow.write_text(
        "on: workflow_dispatch\njobs:\n  a:\n    runs-on: self-hosted\n    steps:\n"
        f"      - {{run: '{steps}', env: {{WORD: naïve ✓}}}}\n"
        "      - {run: pwd, working-directory: größe}\n",
        encoding="utf-8",
    )
    done = run(flow, "flow", "run", "flow.yml", "--format", "json", LOCPATH=locales, **ENCODINGS[encoding])
    assert done.returncode == 0, done.stdout + done.stderr
    texts = [json.loads(line).get("text") for line in done.stdout.splitlines()]
    assert {"日本", "naïve ✓"} <= set(texts)
    assert any(str(text).endswith("/größe") for text in texts)


def test_marks_have_stand_ins_and_the_rest_a_question_mark(flow: Path) -> None:
    done = run(flow, "flow", "run", "flow.yml", PYTHONIOENCODING="ascii")
    lines = done.stdout.decode("ascii").splitlines()
    assert "  na?ve + ?? ?" in lines
    assert "* Gr??e - messen" in lines
    assert "+ job a success" in lines


def test_json_keeps_every_character_in_any_encoding(flow: Path) -> None:
    done = run(flow, "flow", "run", "flow.yml", "--format", "json", PYTHONIOENCODING="ascii")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert "naïve ✓ 日本 🚀" in [record.get("text") for record in records]
    out = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    print_json({"name": "日本"}, out)
    out.seek(0)
    assert json.load(out) == {"name": "日本"}


@pytest.mark.parametrize("name", NAMES)
def test_every_help_can_be_printed_in_ascii(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    try:
        code = run_command([*name.split(), "--help"])
    except SystemExit as ended:  # how argparse ends its help
        code = int(ended.code or 0)
    assert code == 0
    assert b"example" in out.buffer.getvalue()  # type: ignore[attr-defined]


def test_what_no_encoding_can_say_is_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    prepare_streams()
    out.write("file \udcff ✓\n")
    out.flush()
    assert out.buffer.getvalue().decode() == "file ? ✓\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "words", ["--help", "--version", "flow run --help", "flow eval 1", "flow run flow.yml"]
)
def test_a_reader_that_has_gone_or_a_full_disk_ends_a_command_quietly(flow: Path, words: str) -> None:
    script = '"$@" | true; "$@" >/dev/full; "$@" >&-; "$@" 2>&-'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *command_line(*words.split())],
        cwd=flow.parent,
        env={
            **os.environ,
            "AGENT_STATE": str(flow.parent.parent / "state"),
            "TMPDIR": str(flow.parent.parent),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    told = [
        line
        for line in done.stderr.splitlines()
        if line != "agent: nothing can be written: No space left on device"
    ]
    assert told == []
    assert done.returncode == 0


NOBODY = ["unshare", "--user", "--map-user=54321", "--map-group=54321", "env", "-i"]  # no entry, and no HOME


@pytest.mark.parametrize("home", [[], ["HOME="], ["HOME=/proc/none"]], ids=str)
def test_a_user_without_an_entry_and_a_home_runs_flows(flow: Path, home: list[str]) -> None:
    words = ["PATH=" + os.environ["PATH"], f"TMPDIR={flow.parent.parent}", *home]
    done = subprocess.run(
        [*NOBODY, *words, *command_line("flow", "run", "flow.yml")],
        cwd=flow.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "naïve" in done.stdout
    assert (flow.parent.parent / "flow-agent-54321").stat().st_mode & 0o777 == 0o700


@pytest.fixture(params=["closed", "read-only", "another's within"])
def unusable_home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What a container's user may be given: root's own home, or `/`, with what root has made there."""
    home = tmp_path / "home"
    for name in (".local/share/flow-agent", ".config/flow-agent"):
        (home / name).mkdir(parents=True)
    (home / ".config" / "flow-agent" / "config.toml").write_text("not ours = 1")
    if request.param == "another's within":
        for name in (".local/share/flow-agent", ".config/flow-agent"):
            (home / name).chmod(0)
    home.chmod(0 if request.param == "closed" else 0o555)
    for name in (".local/share/flow-agent", ".local/share", ".local") if request.param == "read-only" else ():
        (home / name).chmod(0o555)
    if request.param == "read-only":
        (home / ".config" / "flow-agent" / "config.toml").unlink()
    return home


def test_a_home_that_cannot_be_used_is_as_none(flow: Path, unusable_home: Path) -> None:
    words = ["PATH=" + os.environ["PATH"], f"TMPDIR={flow.parent.parent}", f"HOME={unusable_home}"]
    for command in (["flow", "run", "flow.yml"], ["doctor"], ["run", "list", "--url", "http://127.0.0.1:9"]):
        done = subprocess.run(
            [*NOBODY, *words, *command_line(*command)],
            cwd=flow.parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert "Permission denied" not in done.stderr + done.stdout
        if command[0] == "flow":
            assert done.returncode == 0, done.stderr + done.stdout
        elif command[0] == "doctor":
            assert str(flow.parent.parent / "flow-agent-54321" / "agent") in done.stdout
    unusable_home.chmod(0o700)


@pytest.mark.parametrize(
    "words", ["status", "run list", "doctor", "machine show", "action cache list", "server user list"]
)
def test_no_command_needs_the_user_to_have_an_entry(flow: Path, words: str) -> None:
    given = ["PATH=" + os.environ["PATH"], f"TMPDIR={flow.parent.parent}"]
    command = [*NOBODY, *given, *command_line(*words.split())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "a bug" not in done.stderr
    assert "Traceback" not in done.stderr


def test_the_folder_of_a_user_without_a_home_is_refused_when_it_may_be_somebody_elses(flow: Path) -> None:
    (flow.parent.parent / "flow-agent-54321").mkdir()
    (flow.parent.parent / "flow-agent-54321").chmod(0o777)
    given = ["PATH=" + os.environ["PATH"], f"TMPDIR={flow.parent.parent}"]
    command = [*NOBODY, *given, *command_line("flow", "run", "flow.yml")]
    done = subprocess.run(command, cwd=flow.parent, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "set HOME" in done.stderr


def test_a_secret_from_a_pipe_is_utf_8_whatever_the_locale_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("pässword\n".encode()), encoding="latin-1"))
    assert read_value(None, "KEY") == "pässword"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n")))
    with pytest.raises(UsageError, match="not UTF-8"):
        read_value(None, "KEY")


def test_a_word_that_is_not_utf_8_is_wrong_use(flow: Path) -> None:
    server = ["--url", "http://127.0.0.1:9", "--token", "x"]
    command = command_line("secret", "list", "--project", "\udcff", *server)
    done = subprocess.run(command, cwd=flow.parent, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, "UTF-8" in done.stderr) == (2, True), done.stderr
