"""What reaches a terminal: colours, and nothing else that a job could steer it with."""

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.terminal.output import safe_text
from agent.cli.terminal.screen import JsonScreen, TextScreen
from agent.cli.terminal.tables import duration, plain, print_table
from agent.journal.format import Annotation, Log, Record, StepChanged
from agent.journal.public import PublicRecords
from agent.spec.outcome import Conclusion


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
        ("bell\x07 and \x9b2J", "bell and "),
        ("bold\x1b(B\x1b[m, plain", "bold\x1b[m, plain"),
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


def of_journal(*records: Record, jobs: bool = False) -> str:
    out = io.StringIO()
    screen = TextScreen(out, shows_jobs=jobs)
    for record in records:
        screen.show_record("a", record)
    return out.getvalue()


def step(state: str) -> StepChanged:
    return StepChanged(1, "s", "S", state, 0, conclusion=Conclusion.SUCCESS, outcome=Conclusion.SUCCESS)


@given(st.text(alphabet="ab\n\t#[]é\x1b\r", max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_output_of_a_journal_looks_the_same_as_its_public_lines(text: str, cuts: list[int]) -> None:
    data = text.encode()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    journal = [
        step("running"),
        *(Log(1, 0, data[a:b]) for a, b in itertools.pairwise(places)),
        step("completed"),
    ]
    records = PublicRecords("a")
    public = [shown for record in journal for shown in records.convert(record)]
    assert of_journal(*journal, jobs=True) == shown(*public)


def test_an_unfinished_line_waits_for_its_end_whatever_else_comes() -> None:
    cut = of_journal(step("running"), Log(1, 0, b"one "), Annotation(1, "notice", "x"), Log(1, 0, b"line\n"))
    assert cut.endswith("● S\n  one line\n")


BAR = b"\r 10%\r 20%\r100%\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_pipe_of_a_line_that_is_written_over_the_last_state_is_written_once() -> None:
    assert of_journal(Log(1, 0, b"\r 10%\r 2"), Log(1, 0, b"0%"), Log(1, 0, BAR)) == "  100%\n"
    assert of_journal(step("running"), Log(1, 0, b"a\rbc"), step("completed")).splitlines()[1] == "  bc"


def test_on_a_terminal_it_moves_and_what_comes_next_stands_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    screen = TextScreen(out, shows_jobs=False)
    for data in (b"\r 10%", b"\r 20%", b"\r 30% and more than twenty columns"):
        screen.show_record("a", Log(1, 0, data))
    clear = "\r\x1b[K"
    assert out.getvalue() == f"   10%{clear}   20%{clear}   30% and more tha"
    screen.show(log("a line"))
    assert out.getvalue().endswith(f"{clear}  a line\n")


def test_without_colours_those_of_the_job_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    red = "\x1b[31mred\x1b[0m"
    assert shown(log(red), jobs=False) == "  red\n"
    assert of_journal(Log(1, 0, f"{red}\n".encode())) == "  red\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert shown(log(red), jobs=False) == f"  {red}\n"
    assert of_journal(Log(1, 0, f"{red}\n".encode())) == f"  {red}\n"


def test_what_only_moves_is_not_written_into_a_pipe() -> None:
    moves = {"kind": "progress", "job": "a", "step": "s", "time": 0.0, "text": " 10%"}
    assert shown(moves, {**moves, "text": " 20%"}, log("100%"), jobs=False) == "  100%\n"


def test_what_only_moves_is_no_json_record() -> None:
    out = io.StringIO()
    JsonScreen(out).show({"kind": "progress", "job": "a", "step": "s", "time": 0.0, "text": " 10%"})
    assert out.getvalue() == ""


def test_summaries_stand_at_the_end() -> None:
    summary = {"kind": "summary", "job": "a", "step": "s", "text": "# Done\n"}
    end = {"kind": "run", "conclusion": "success", "jobs": {}, "seconds": 1.25}
    assert shown(summary, end).endswith("Summary of a\n  # Done\n\n✓ run success  1.2s\n")


def test_tables_align_and_print_no_control_characters() -> None:
    out = io.StringIO()
    print_table(["name", "n"], [["a\x1b[31m", 1], ["longer", 22]], out)
    assert out.getvalue() == "name       n\na\\x1b[31m  1\nlonger     22\n"
    assert plain("x\ny") == "x y"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.04, "0.0s"), (12.3, "12s"), (185, "3m 05s"), (7620, "2h 07m")]
)
def test_durations_read_like_speech(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_colours_that_a_job_leaves_open_end_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = io.StringIO()
    screen = TextScreen(out, shows_jobs=False)
    screen.show_output("a", 0, b"\x1b[1mbold\nnext\n")
    assert out.getvalue() == "  \x1b[1mbold\x1b[0m\n  next\n"


def test_the_title_of_an_annotation_stands_below_its_message() -> None:
    out = io.StringIO()
    screen = TextScreen(out, shows_jobs=True)
    screen.show_record("a", Log(0, 0, b"##[error]no data\n"))
    screen.show_record("a", Annotation(0, "error", "no data", title="Too few"))
    assert out.getvalue() == "a │   Error: no data\na │     Too few\n"
