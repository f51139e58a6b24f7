"""What a newcomer gets wrong is said in a sentence that helps."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli.main import run_command
from agent.cli.terminal.spelling import find_unknown_option


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("run list --limit 0", "'0' is no number above 0"),
        ("run list --limit -3", "'-3' is no number above 0"),
        ("run show seven", "'seven' is no number above 0"),
        ("run rerun \u0667", "is no number above 0"),
        ("tag add best --run x", "'x' is no number above 0"),
        ("server delivery show x", "'x' is no number above 0"),
        ("run list --url 127.0.0.1:8420 --token t", "write it as https://"),
        ("secret list --url ftp://x --token t", "write it as https://"),
        ("server token list --data /nowhere", "name its folder with --data"),
    ],
)
def test_wrong_use_is_said(words: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(words.split()) in (1, 2)
    said = capsys.readouterr().err
    assert said.startswith("agent: ")
    assert complaint in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("flwo run", "there is no command 'flwo'; did you mean flow? See `agent --help`"),
        ("run lst", "there is no command 'lst' (agent run); did you mean list? See `agent run --help`"),
        ("server tokne list", "there is no command 'tokne' (agent server); did you mean token?"),
        ("run logs 1 --folow", "there is no option '--folow' (agent run logs); did you mean --follow?"),
        ("run list --stat queued", "there is no option '--stat' (agent run list); did you mean --status?"),
        (
            "flow run x.yml --nope",
            "there is no option '--nope' (agent flow run); see `agent flow run --help`",
        ),
        ("flow run --nope", "there is no option '--nope' (agent flow run)"),
        ("flow run --nope=x --inptu a=b", "there is no option '--nope' (agent flow run)"),
        ("flow run x.yml -x", "there is no option '-x' (agent flow run)"),
        ("server --listn 127.0.0.1:0", "there is no option '--listn' (agent server); did you mean --listen?"),
        ("run --verbose list", "there is no option '--verbose' (agent run)"),
        ("--verison", "there is no option '--verison'; did you mean --version?"),
        (
            "run list --status runing",
            "it is one of queued, running, completed (agent run list); did you mean running?",
        ),
        ("run list x", "'x' is a word too many (agent run list)"),
        ("secret set NAME value", "'value' is a word too many (agent secret set)"),
    ],
)
def test_an_unknown_word_is_named_with_the_one_that_was_meant(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(words.split()) == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.startswith("agent: ")
    assert said in heard.err
    assert heard.err.count("\n") == 1
    assert "--help`" in heard.err


OPTIONS = {"--job": True, "-f": False, "--follow": False, "--command": None}


@pytest.mark.parametrize(
    ("words", "unknown"),
    [
        (
            "12 --job --nope -f",
            "",
        ),  # what follows --job is its value, and argparse says that it can't be that
        ("12 --job=x --nope", "--nope"),
        ("--command ls --nope", ""),
        ("12 -- --nope", ""),
        ("-1 -0.5 -", ""),
        ("-fx", ""),
        ("-xf", "-xf"),
    ],
)
def test_an_unknown_option_is_told_from_what_belongs_to_a_known_one(words: str, unknown: str) -> None:
    assert find_unknown_option(words.split(), OPTIONS, is_group=False) == unknown


def test_what_follows_a_command_is_for_that_command() -> None:
    assert find_unknown_option(["list", "--nope"], {}, is_group=True) == ""
    assert find_unknown_option(["a text -x with spaces"], {}, is_group=False) == ""


@pytest.mark.parametrize("words", [["doctor"], ["flow", "eval", "1"], ["--help"]])
def test_a_full_disk_under_the_output_is_said(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "agent", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "agent: nothing can be written: No space left on device\n")
