"""The live tree: a frame that is drawn over itself, finished jobs above it, nothing that a job could smuggle in."""

import io
import re
import tracemalloc

import pytest
from support.manual_clock import ManualClock

from agent.cli.terminal.tree import TreeScreen
from agent.journal.format import Annotation, AppChanged, Closed, Log, Opened, StepChanged, Summary
from agent.spec.apps import AppState
from agent.spec.outcome import Conclusion, JobResult


class Terminal(io.StringIO):
    """A terminal of 40 columns and 12 lines that understands what the tree sends: cursor up, and two ways of clearing."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """What can be read on it, without colours."""
        rows: list[str] = [""]
        row = column = 0
        for part in re.findall(r"\x1b\[\d*[A-Z]|\x1b\[[\d;:]*m|\n|\r|[^\x1b\n\r]+|\x1b", self.getvalue()):
            if up := re.fullmatch(r"\x1b\[(\d+)A", part):
                row, column = row - int(up[1]), 0
            elif part in ("\x1b[J", "\x1b[K"):
                rows[row] = rows[row][:column]
                if part == "\x1b[J":
                    del rows[row + 1 :]
            elif part == "\r":
                column = 0
            elif part == "\n":
                row, column = row + 1, 0
                if row == len(rows):
                    rows.append("")
            elif not part.startswith("\x1b["):
                assert "\x1b" not in part
                rows[row] = rows[row][:column].ljust(column) + part + rows[row][column + len(part) :]
                column += len(part)
        return rows[:row]


@pytest.fixture(autouse=True)
def small_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LINES", "12")


class Play:
    """A run as the screen is told of it."""

    def __init__(self, whole: str = "") -> None:
        self.terminal = Terminal()
        self.clock = ManualClock()
        self.screen = TreeScreen(self.terminal, self.clock, whole)

    @property
    def now_ms(self) -> int:
        return int(self.clock.now() * 1000)

    def step(self, job: str, number: int, name: str, outcome: str = "", parent: int | None = None) -> None:
        end = Conclusion(outcome) if outcome else None
        state = "completed" if outcome else "running"
        seconds = 1.5 if outcome else None
        self.screen.show_record(
            job, StepChanged(number, f"s{number}", name, state, self.now_ms, parent, end, end, seconds)
        )

    def log(self, job: str, number: int, text: str) -> None:
        self.screen.show_record(job, Log(number, self.now_ms, text.encode()))

    def end(self, job: str, conclusion: str) -> None:
        self.screen.show_record(job, Closed(self.now_ms, JobResult(Conclusion(conclusion))))

    def seen(self) -> list[str]:
        """The screen, a moment later; the spinner shown as `*`."""
        self.clock.advance(1)
        self.screen.tick()
        return [re.sub("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]", "*", line) for line in self.terminal.lines()]


def test_a_running_step_shows_the_last_lines_of_its_output() -> None:
    play = Play()
    play.step("train", 0, "Set up job", "success")
    play.step("train", 1, "Train")
    play.log("train", 1, "".join(f"epoch {n}\n" for n in range(1, 9)))
    assert play.seen() == [
        "* train  1.0s",
        "  ✓ Set up job  1.5s",
        "  * Train  1.0s",
        "    │ epoch 6",
        "    │ epoch 7",
        "    │ epoch 8",
    ]


def test_the_frame_is_drawn_over_itself_and_finished_jobs_stay_above_it() -> None:
    play = Play()
    play.step("a", 0, "One")
    play.step("b", 0, "Two")
    play.seen()
    play.step("a", 0, "One", "success")
    play.end("a", "success")
    assert play.seen() == ["✓ a  1.0s", "  ✓ One  1.5s", "* b  2.0s", "  * Two  2.0s"]


def test_a_failed_step_keeps_the_end_of_its_output_with_groups_folded() -> None:
    play = Play()
    play.step("a", 0, "Train")
    play.log("a", 0, "##[group]Run it\nx\ny\n##[endgroup]\nValueError\n##[error]exit code 3\n")
    play.step("a", 0, "Train", "failure")
    play.end("a", "failure")
    assert play.seen()[2:] == ["    │ ▸ Run it (2 lines)", "    │ ValueError", "    │ exit code 3"]


def test_inner_steps_are_indented_and_skipped_jobs_are_one_line() -> None:
    play = Play()
    play.step("a", 0, "Outer")
    play.step("a", 1, "Inner", parent=0)
    play.end("late", "skipped")
    assert play.seen() == ["- late", "* a  1.0s", "  * Outer  1.0s", "    * Inner  1.0s"]


def test_a_waiting_job_says_why() -> None:
    play = Play()
    play.screen.show({"kind": "waiting", "job": "a", "reason": "no agent is connected"})
    assert play.seen() == ["  a  no agent is connected"]


def test_long_lines_are_cut_and_a_frame_is_never_higher_than_the_terminal() -> None:
    play = Play()
    for number in range(20):
        play.step("a", number, f"Step {number} " + "x" * 80)
    seen = play.seen()
    assert len(seen) == 11
    assert max(map(len, seen)) <= 39


def test_what_a_job_prints_can_not_steer_the_terminal() -> None:
    play = Play()
    play.step("a", 0, "Name\x1b[2J")
    play.log("a", 0, "over\rwritten \x1b]0;title\x07 \x1b[5A \x1b[31mred\x1b[0m\n")
    assert play.seen()[1:] == [r"  * Name\x1b[2J  1.0s", "    │ written   red"]


def test_annotations_and_summaries_stand_at_the_end() -> None:
    play = Play()
    play.step("a", 0, "Train")
    play.screen.show_record("a", Annotation(0, "warning", "careful", file="a.py", line=3))
    play.screen.show_record("a", Annotation(0, "error", "no data", title="Too few"))
    play.screen.show_record("a", Summary(0, "# Done\n"))
    play.step("a", 0, "Train", "success")
    play.end("a", "success")
    play.screen.show({"kind": "run", "conclusion": "success", "jobs": {}})
    assert play.seen()[2:] == [
        *("", "Annotations", "  warning: a a.py:3: careful", "  error: a: Too few: no data"),
        *("", "Summary of a", "  # Done"),
        *("", "✓ run success  0.0s"),
    ]


def test_the_servers_records_are_shown_the_same_way() -> None:
    play = Play()
    play.step("a", 0, "Train")
    play.screen.show({"kind": "log", "job": "a", "step": "s0", "time": 0.0, "text": "epoch 1"})
    assert play.seen()[-1] == "    │ epoch 1"


def test_a_bar_that_is_written_over_moves_in_the_tree() -> None:
    play = Play()
    play.step("a", 0, "Train")
    play.log("a", 0, "loading\n\r 10%")
    assert play.seen()[2:] == ["    │ loading", "    │  10%"]
    play.log("a", 0, "\r 20%")
    assert play.seen()[2:] == ["    │ loading", "    │  20%"]
    play.log("a", 0, "\r100%\ndone\n")
    assert play.seen()[2:] == ["    │ loading", "    │ 100%", "    │ done"]


def test_a_bar_of_the_servers_moves_too() -> None:
    play = Play()
    play.step("a", 0, "Train")
    play.step("a", 1, "Beside")
    for text in (" 10%", " 20%"):
        play.screen.show({"kind": "progress", "job": "a", "step": "s0", "time": 0.0, "text": text})
        assert play.seen()[2:3] == [f"    │ {text}"]


def test_what_a_finished_step_printed_stays_without_what_ran_it() -> None:
    play = Play()
    play.step("a", 0, "Say")
    play.log("a", 0, "##[group]Run echo hello\necho hello\n##[endgroup]\nhello\n\n")
    play.step("a", 0, "Say", "success")
    assert play.seen()[1:] == ["  ✓ Say  1.5s", "    │ hello"]
    play.end("a", "success")
    assert play.seen()[1:] == ["  ✓ Say  1.5s", "    │ hello"]


def test_of_much_output_the_end_stays_and_how_to_see_the_rest() -> None:
    play = Play("--log all")
    play.step("a", 0, "Say")
    play.log("a", 0, "".join(f"line {number}\n" for number in range(1, 225)))
    play.step("a", 0, "Say", "success")
    play.end("a", "success")
    lines = [f"    │ line {number}" for number in range(215, 225)]
    assert play.seen()[2:] == ["    │ … 214 lines above: --log all", *lines]


@pytest.mark.parametrize(
    ("begin", "line", "count"),
    [("", "a line\n", 30_000), ("##[group]More\n", "a line\n", 30_000), ("", f"{'x' * 500_000}\n", 20)],
    ids=["lines", "lines of a group that is open", "long lines"],
)
@pytest.mark.parametrize("is_of_server", [False, True], ids=["local", "server"])
def test_of_a_log_no_more_is_held_than_is_shown(
    begin: str, line: str, count: int, is_of_server: bool
) -> None:
    play = Play()
    play.step("a", 0, "Train")

    def say(text: str) -> None:
        if is_of_server:
            play.screen.show({"kind": "log", "job": "a", "step": "s0", "time": 0.0, "text": text[:-1]})
        else:
            play.log("a", 0, text)

    tracemalloc.start()
    try:
        if begin:
            say(begin)
        for _ in range(count):
            say(line)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1 << 20


def test_of_several_jobs_that_run_each_shows_only_what_moves() -> None:
    play = Play()
    play.step("b", 0, "Other")
    play.step("a", 0, "Say")
    play.log("a", 0, "hello\n")
    play.step("a", 0, "Say", "success")
    assert "    │ hello" not in play.seen()
    play.end("a", "success")
    assert play.seen()[:3] == ["✓ a  1.0s", "  ✓ Say  1.5s", "    │ hello"]


def test_an_open_group_shows_what_happens_in_it_and_how_it_ended() -> None:
    play = Play()
    play.step("a", 0, "Train")
    play.log("a", 0, "##[group]Epoch 1\nloss 0.3\n")
    assert play.seen()[2:] == ["    │ ▸ Epoch 1", "    │ loss 0.3"]
    play.step("a", 0, "Train", "failure")
    play.end("a", "failure")
    assert play.seen()[2:] == ["    │ ▸ Epoch 1", "    │ loss 0.3"]


def test_our_own_steps_around_the_flows_show_nothing_but_their_failure() -> None:
    play = Play()
    for outcome in ("success", "failure"):
        play.screen.show_record("a", StepChanged(0, "__set_up", "Set up job", "running", 0))
        play.log("a", 0, "Machine: box\n")
        end = Conclusion(outcome)
        ended = StepChanged(0, "__set_up", "Set up job", "completed", 0, None, end, end, 1.5)
        play.screen.show_record("a", ended)
        play.end("a", outcome)
    assert play.seen() == [
        "✓ a  0.0s",
        "  ✓ Set up job  1.5s",
        "✗ a  0.0s",
        "  ✗ Set up job  1.5s",
        "    │ Machine: box",
    ]


def test_a_line_of_wide_characters_and_tabs_is_cut_where_the_terminal_ends() -> None:
    play = Play()
    play.step("a", 0, "Say")
    play.log("a", 0, "日本語" * 20 + "\n\t\tx" + "y" * 60 + "\n")
    wide, tabs = play.seen()[2:]
    assert wide == "    │ " + "日本語" * 5 + "日"
    assert (len(tabs), tabs.count("\t")) == (39, 0)


def test_without_colours_those_of_the_job_are_taken_out_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    play = Play()
    play.step("a", 0, "Say")
    play.log("a", 0, "\x1b[31mred\x1b[0m\n")
    play.step("a", 0, "Say", "success")
    play.end("a", "success")
    assert "    │ red" in play.seen()
    assert not re.search(r"\x1b\[[\d;]*m", play.terminal.getvalue())


def test_a_colour_that_is_left_on_ends_with_its_line() -> None:
    play = Play()
    play.step("a", 0, "Say")
    play.log("a", 0, "\x1b[31mred\nplain\n")
    play.seen()
    assert "\x1b[31mred\x1b[0m" in play.terminal.getvalue()


def test_a_jobs_time_is_its_own_and_not_that_of_who_watches() -> None:
    play = Play()
    play.screen.show_record("a", Opened("a", 1, 1_000))
    play.step("a", 0, "Say", "success")
    play.screen.show_record("a", Closed(9_000, JobResult(Conclusion.SUCCESS)))
    assert play.seen()[0] == "✓ a  8.0s"


def test_who_comes_late_sees_times_from_the_beginning() -> None:
    play = Play()
    began = play.now_ms
    play.clock.advance(40)
    play.screen.show_record("train", Opened("train", 1, began))
    play.screen.show_record("train", StepChanged(0, "s", "Train", "running", began + 10_000))
    assert play.seen() == ["* train  41s", "  * Train  31s"]
    play.screen.show({"kind": "run", "conclusion": "success", "jobs": {}, "seconds": 33.0})
    assert play.seen()[-1] == "✓ run success  33s"


def test_why_a_job_waits_is_read_to_its_end_on_a_narrow_terminal() -> None:
    play = Play()
    reason = "no agent has the label [big]; `agent server agent set box labels=big` lends box the label"
    play.screen.show({"kind": "waiting", "job": "train", "reason": reason})
    seen = play.seen()
    assert max(map(len, seen)) < 40
    assert " ".join(" ".join(seen).split()) == f"train {reason}"


def test_a_job_that_ends_early_says_why_where_no_step_has() -> None:
    play = Play()
    play.step("a", 0, "Train")
    play.log("a", 0, "epoch 1\n##[error]The operation was canceled.\n")
    play.step("a", 0, "Train", "cancelled")
    message = "The job took too long."
    play.screen.show_record("a", Closed(play.now_ms, JobResult(Conclusion.CANCELLED, message=message)))
    assert play.seen()[-1] == f"  {message}"
    play.step("b", 0, "Train")
    play.log("b", 0, "##[error]Process completed with exit code 1.\n")
    play.step("b", 0, "Train", "failure")
    message = "Process completed with exit code 1."
    play.screen.show_record("b", Closed(play.now_ms, JobResult(Conclusion.FAILURE, message=message)))
    assert sum(message in line for line in play.seen()) == 1


def test_a_job_that_is_tried_again_says_when_and_its_attempts_have_numbers() -> None:
    play = Play()
    play.step("a", 0, "Train")
    play.step("a", 0, "Train", "failure")
    play.end("a", "failure")
    play.screen.show({"kind": "waiting", "job": "a", "reason": "failed; attempt 2 begins in 9s"})
    assert play.seen()[-1] == "  a  failed; attempt 2 begins in 9s"
    play.screen.show({"kind": "attempt", "job": "a", "attempt": 2})
    play.step("a", 0, "Train")
    assert any(line.startswith("* a (attempt 2)") for line in play.seen())
    play.step("a", 0, "Train", "success")
    play.end("a", "success")
    lines = play.seen()
    ends = [line.partition("  ")[0] for line in lines if line.startswith(("✗", "✓"))]
    assert ends == ["✗ a", "✓ a (attempt 2)"]


def test_bars_that_are_written_over_together_stand_side_by_side() -> None:
    play = Play()
    play.step("a", 0, "Train")
    for count in range(9):
        play.log("a", 0, f"\router {count}\n\r inner {count}\x1b[A")
    assert play.seen()[-2:] == ["    │ outer 8", "    │  inner 8"]
    play.step("a", 0, "Train", "success")
    play.end("a", "success")
    assert play.seen()[-2:] == ["    │ outer 8", "    │  inner 8"]


def test_one_endless_line_does_not_fill_the_screen() -> None:
    play = Play()
    play.step("a", 0, "Train")
    play.log("a", 0, "x" * 100_000 + "\n")
    play.step("a", 0, "Train", "success")
    play.end("a", "success")
    assert sum(line.count("x") for line in play.seen()) == 800


def test_an_app_that_is_ready_on_this_machine_is_a_line_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    play = Play()
    address = "http://127.0.0.1:20001/lab?token=x"
    for state in (AppState.WAITING, AppState.READY, AppState.GONE):
        play.screen.show_record("a", AppChanged(0, "lab", state, play.now_ms, 20001, url=address))
    assert [line for line in play.terminal.lines() if "lab" in line] == [f"The app 'lab' is ready: {address}"]


def test_a_group_with_nothing_in_it_is_not_shown() -> None:
    play = Play()
    play.step("a", 0, "Check out")
    play.log("a", 0, "##[group]Determining\n##[endgroup]\n##[group]Fetching\nx\n##[endgroup]\n")
    play.step("a", 0, "Check out", "success")
    play.end("a", "success")
    assert play.seen()[2:] == ["    │ ▸ Fetching (1 line)"]


def test_what_is_typed_stands_behind_its_prompt_and_nothing_moves_meanwhile() -> None:
    play = Play()
    play.step("review", 0, "Look")
    play.seen()
    play.screen.show({"kind": "question", "text": "good (integer): ", "is_prompt": True})
    assert play.seen() == []
    assert play.terminal.getvalue().endswith("\r\x1b[Kgood (integer): ")
    play.step("train", 0, "Train", "success")
    play.end("train", "success")
    assert play.seen() == ["✓ train  0.0s", "  ✓ Train  1.5s"]
    assert play.terminal.getvalue().endswith("\ngood (integer): ")
    play.terminal.write("7\n")  # as the terminal shows what is typed
    play.screen.show({"kind": "answered"})
    assert play.seen()[-3:] == ["good (integer): 7", "* review  4.0s", "  * Look  4.0s"]


def test_a_run_that_is_abandoned_leaves_nothing_that_seems_to_move() -> None:
    play = Play()
    play.step("a", 0, "Train")
    assert len(play.seen()) == 2
    play.screen.show({"kind": "abandoned"})
    assert play.seen() == []
