"""Lists for people: moments with their zone, rows of one line on a terminal, everything in a pipe."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.run.list import facts_of
from agent.cli.terminal.tables import columns_of, cut_text, fit_widths, print_table
from agent.cli.terminal.times import relative_text, seconds_of, show_moment, utc_text

NOON = 1_795_435_200.0  # 2026-11-23 12:00:00 UTC


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (0, "just now"),
        (-2, "just now"),
        (40, "40 s ago"),
        (3 * 60 + 59, "3 min ago"),
        (2 * 3600, "2 h ago"),
        (5 * 86_400, "5 d ago"),
        (-90 * 60, "in 1 h"),
        (30 * 86_400, "2026-10-24 12:00 UTC"),
        (-30 * 86_400, "2026-12-23 12:00 UTC"),
    ],
)
def test_a_moment_is_said_as_people_say_it(ago: float, said: str) -> None:
    assert relative_text(NOON - ago, NOON) == said


@pytest.mark.parametrize(
    "moment", ["2026-11-23T12:00:00.123Z", "2026-11-23T13:00:00+01:00", "2026-11-23T12:00:00", NOON]
)
def test_a_moment_in_a_pipe_names_its_zone_and_has_no_milliseconds(moment: str | float) -> None:
    assert utc_text(moment) == "2026-11-23 12:00:00 UTC"
    assert show_moment(moment, io.StringIO()) == "2026-11-23 12:00:00 UTC"


@pytest.mark.parametrize("moment", [None, "", "soon"])
def test_no_moment_is_said_as_nothing(moment: str | None) -> None:
    assert seconds_of(moment) is None
    assert show_moment(moment, io.StringIO()) == show_moment(moment, Terminal()) == ""


def rows_of(out: io.StringIO) -> list[str]:
    return out.getvalue().splitlines()


LONG = ["7", "a flow with a very long name " * 3, "success", "feature/" + "x" * 60]


def test_a_row_is_one_line_of_the_terminal_and_says_what_it_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    print_table(["run", "flow", "state", "branch"], [LONG], out)
    assert [len(row) <= 80 for row in rows_of(out)] == [True, True]
    assert "success" in rows_of(out)[1]
    assert rows_of(out)[1].count("…") == 2


def test_a_pipe_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = io.StringIO()
    print_table(["run", "flow", "state", "branch"], [LONG], out, spare=3)
    assert all(cell.strip() in rows_of(out)[1] for cell in LONG)


def test_a_column_that_can_be_spared_goes_before_others_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = Terminal()
    print_table(
        ["run", "flow", "url"], [["7", "train", "https://flows.example.org/status/runs/7"]], out, spare=2
    )
    assert rows_of(out) == ["run  flow", "7    train"]


def test_a_sentence_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = Terminal()
    why = "no agent has " + "all of these labels " * 5
    print_table(["job", "why"], [["train", why], ["日本", "理由" * 40], ["last", ""]], out, cuts=False)
    assert "…" not in out.getvalue()
    assert all(columns_of(row) <= 40 for row in rows_of(out))
    assert " ".join(row[7:] for row in rows_of(out)[1:5]) == why.strip(), "broken between words"
    assert out.getvalue().count("理由") + out.getvalue().count("由\n") >= 40
    assert rows_of(out)[-1] == "last"


def test_wide_letters_take_two_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = Terminal()
    print_table(["flow", "by"], [["训练", "ada"], ["cafe\u0301", "bob"]], out)
    assert rows_of(out) == ["flow  by", "训练  ada", "cafe\u0301  bob"]
    assert cut_text("训练模型", 6) == "训练…"


@given(st.lists(st.integers(0, 300), min_size=1, max_size=9), st.integers(1, 200))
def test_columns_fit_and_only_the_widest_give(widths: list[int], most: int) -> None:
    fitted = fit_widths(widths, most)
    total = sum(fitted) + 2 * (len(fitted) - 1)
    assert total <= most or all(width <= 6 for width in fitted)
    assert all(width == before or width == max(fitted) for width, before in zip(fitted, widths, strict=True))


@given(st.text(max_size=30), st.integers(1, 20))
def test_a_cut_text_is_no_wider_than_it_may_be(text: str, width: int) -> None:
    assert columns_of(cut_text(text, width)) <= width or columns_of(text) <= width


def run(**more: Any) -> dict[str, Any]:
    return {"id": 7, "source": {"ref": "refs/heads/feature/x"}, "started": None, "finished": None, **more}


def test_a_run_says_its_branch_its_page_and_how_long_it_took() -> None:
    facts = facts_of(
        run(started="2026-11-23T11:58:00.000Z", finished="2026-11-23T11:59:30.500Z"),
        "https://f.example/",
        NOON,
    )
    assert facts == {
        "duration_seconds": 90.5,
        "ref": "refs/heads/feature/x",
        "branch": "feature/x",
        "url": "https://f.example/status/runs/7",
    }


def test_a_run_that_goes_on_says_how_long_so_far_and_one_that_waits_says_nothing() -> None:
    assert facts_of(run(started="2026-11-23T11:58:00Z"), "https://f", NOON)["duration_seconds"] == 120
    assert facts_of(run(), "https://f", NOON)["duration_seconds"] is None
    assert facts_of(run(source={"ref": "refs/tags/v1"}), "https://f", NOON)["branch"] == ""
