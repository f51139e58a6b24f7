"""What a newcomer gets wrong is said in a sentence that helps."""

import pytest

from agent.cli.main import run_command


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
