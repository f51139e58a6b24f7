"""What reaches a terminal: colours, and nothing else that a job could steer it with."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.screen import TextScreen, safe_text
from agent.cli.tables import duration, plain, print_table


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("a\x1b]52;c;ZXZpbA==\x07b", "ab"),
        ("a\x1b]8;;javascript:x\x1b\\b", "ab"),
        ("a\x1b[2Jb\x1b[10;10Hc", "abc"),
        ("over\rwritten", "overwritten"),
        ("right\u202eleft", "rightleft"),
        ("end\x1b", "end"),
        ("bell\x07 and \x9b2J", "bell and 2J"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_only_colours_pass(text: str, safe: str) -> None:
    assert safe_text(text) == safe


@given(st.text(alphabet="\x1b[]0123456789;mHJ?\x07\x08\r\u202eab\\"))
def test_no_escape_but_a_colour_survives(text: str) -> None:
    for part in safe_text(text).split("\x1b")[1:]:
        head = part.partition("m")[0]
        assert head.startswith("[")
        assert set(head[1:]) <= set("0123456789;:")


def shown(*records: dict[str, object], jobs: bool = True) -> str:
    out = io.StringIO()
    screen = TextScreen(out, shows_jobs=jobs)
    for record in records:
        screen.show(record)
    return out.getvalue()


def log(text: str) -> dict[str, object]:
    return {"kind": "log", "job": "a", "step": "s", "time": 0.0, "text": text}


def test_each_line_begins_with_its_job_when_there_are_several() -> None:
    assert shown(log("hi")) == "a │   hi\n"
    assert shown(log("hi"), jobs=False) == "  hi\n"


def test_groups_and_commands_become_words() -> None:
    lines = shown(
        log("##[group]Run it"), log("##[endgroup]"), log("##[error]it broke"), log("##[debug]why"), jobs=False
    )
    assert lines == "  ▸ Run it\n  Error: it broke\n  why\n"


def test_summaries_stand_at_the_end() -> None:
    summary = {"kind": "summary", "job": "a", "step": "s", "text": "# Done\n"}
    end = {"kind": "run", "conclusion": "success", "jobs": {}, "seconds": 1.25}
    assert shown(summary, end).endswith("Summary of a\n  # Done\n\n✓ run success  1.2s\n")


def test_tables_align_and_print_no_control_characters() -> None:
    out = io.StringIO()
    print_table(["name", "n"], [["a\x1b[31m", 1], ["longer", 22]], out)
    assert out.getvalue() == "name    n\na[31m   1\nlonger  22\n"
    assert plain("x\ny") == "xy"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.04, "0.0s"), (12.3, "12s"), (185, "3m 05s"), (7620, "2h 07m")]
)
def test_durations_read_like_speech(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
