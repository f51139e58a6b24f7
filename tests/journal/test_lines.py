"""Lines in their last state: what a terminal shows in the end, however the bytes were cut."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.journal.lines import LONGEST_LINE_BYTES, Lines, last_state
from agent.journal.row import MOST_COLUMNS, Row
from agent.widths import width


def lines_of(*pieces: bytes) -> list[bytes]:
    lines = Lines()
    return [*itertools.chain.from_iterable(map(lines.feed, pieces)), *lines.finish()]


@pytest.mark.parametrize(
    ("printed", "stands"),
    [
        ("plain", "plain"),
        ("windows\r", "windows"),
        ("twice\r\r", "twice"),
        (" 10%\r 20%\r100%", "100%"),
        ("\r 10%\r100%\r", "100%"),
        (
            "[    ] Starting\r[ OK ]",
            "[ OK ] Starting",
        ),  # as a terminal has it: what is not written over stays
        ("a bar\r     \r", ""),  # tqdm's leave=False
        ("downloading 99%\r\x1b[Kdone", "done"),
        ("downloading 99%\r\x1b[2Kdone", "done"),
        ("abc\rX\x1b[1Kd", " dc"),
        ("abc\b\bX", "aXc"),
        ("\b\bab", "ab"),
        ("\x1b[32mgreen\x1b[0m", "\x1b[32mgreen\x1b[0m"),
        ("old old\r\x1b[32mgreen\x1b[0m", "\x1b[32mgreen\x1b[0mld"),
        (
            "\x1b[31mr\x1b[1mb\r\x1b[0;33my",
            "\x1b[0;33my\x1b[0m\x1b[31m\x1b[1mb\x1b[0m",
        ),
        ("x\r█▌ 50%\r██ 99%", "██ 99%"),
        ("日本\rx", "x 本"),
        ("日本\r x", " x本"),
        ("ab本\r日", "日本"),
        ("x\re\u0301\u200d日\u0301", "e\u0301\u200d日\u0301"),
        ("\r\u0301a", "a"),
        ("x\ra\tb", "a       b"),
        ("title\r\x1b]0;evil\x07ok\x1b[5Cx\x00\x1b", "okxle"),
    ],
)
def test_the_last_state_is_what_a_terminal_shows(printed: str, stands: str) -> None:
    assert last_state(printed.encode()).decode() == stands


def test_a_line_that_never_goes_back_keeps_its_bytes() -> None:
    assert lines_of(b"\xff\x00\x1b[2J \nx\r\n\n") == [b"\xff\x00\x1b[2J ", b"x", b""]


@given(
    st.text(alphabet="ab \r\n\b\t\x1b[0123mK;]\x07é日\u0301█", max_size=80),
    st.lists(st.integers(0, 120), max_size=6),
)
def test_however_it_is_cut_it_means_the_same(text: str, cuts: list[int]) -> None:
    data = text.encode()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    assert lines_of(*pieces) == lines_of(data)
    *whole, rest = data.split(b"\n")
    assert lines_of(data) == [last_state(line) for line in [*whole, *([rest] if rest else [])]]


STATES = st.text(alphabet="ab \x1b[1mK█日\b\t", max_size=6)


@given(st.lists(STATES, max_size=8), st.lists(STATES, min_size=1, max_size=2))
def test_states_that_are_written_over_change_nothing(hidden: list[str], shown: list[str]) -> None:
    step_by_step = Row()
    for state in [*hidden, *shown]:
        step_by_step.write("\r").write(state)
    assert last_state("\r".join(["", *hidden, *shown, ""]).encode()).decode() == step_by_step.read()


def test_the_unfinished_line_can_be_seen_at_any_time() -> None:
    lines = Lines()
    seen = []
    for piece in (b"loading", b"\r 10%", b"\r 20%\r", b" 30", b"%"):
        assert lines.feed(piece) == []
        seen.append(lines.pending())
    assert seen == [b"loading", b" 10%ing", b" 20%ing", b" 30%ing", b" 30%ing"]
    assert lines.feed(b"\rdone   \nnext") == [b"done"]
    assert (lines.pending(), lines.finish(), lines.pending(), lines.finish()) == (b"next", [b"next"], b"", [])


def test_a_bar_that_never_ends_its_line_takes_no_more_room_than_it_shows() -> None:
    lines = Lines()
    for number in range(100_000):
        lines.feed(b"\r%6d of 100000" % number)
    assert lines.pending() == b" 99999 of 100000"
    assert sum(map(len, lines._rest)) < 100_000


def test_a_line_that_never_ends_comes_in_pieces_of_whole_characters() -> None:
    line = "é".encode() * (LONGEST_LINE_BYTES // 2) + b"x" + "é".encode() * 10
    odd = b"x" + line
    for given_line in (line, odd):
        chunks = [given_line[start : start + 65536] for start in range(0, len(given_line), 65536)]
        pieces = lines_of(*chunks, b"\nnext\n")
        assert pieces == lines_of(given_line + b"\nnext\n")
        assert (b"".join(pieces[:-1]), pieces[-1]) == (given_line, b"next")
        assert len(pieces) == 3
        assert "\ufffd" not in pieces[0].decode("utf-8", "replace")


def test_a_row_ends_somewhere_and_colours_do_not_add_up() -> None:
    row = Row().write("x" * MOST_COLUMNS).write("y\tz\u0301" + "\x1b[1m" * 1000)
    assert len(row.read()) == MOST_COLUMNS + 1  # the mark goes onto the last one
    assert len(row.write("\ra").read()) < MOST_COLUMNS + 600


def test_widths_are_those_of_terminals() -> None:
    assert [width(character) for character in "aé█日\u0301\u200d🚀"] == [1, 1, 1, 2, 0, 0, 2]


NESTED = "".join(
    f"\router {outer}" + "".join(f"\n\r inner {outer}.{inner}\x1b[A" for inner in range(50))
    for outer in range(30)
)


@pytest.mark.parametrize(
    ("printed", "stand"),
    [
        (f"{NESTED}\n\ndone\n", ["outer 29", " inner 29.49", "done"]),  # tqdm's position=1
        (f"{NESTED}\n\r            \x1b[A\n", ["outer 29"]),  # and leave=False
        ("a\nb\nc\n\x1b[3A\x1b[2KA\n\x1b[2KB\n\x1b[2KC\n", ["A", "B", "C"]),
        ("a\nb\r\x1b[2K\x1b[1A\x1b[2K\rA\nB\n", ["A", "B"]),  # rich
        ("a\nb\nc\x1b[2FA\x1b[EB", ["A", "B", "c"]),
        ("a\nb\nc\x1b[2A\x1b[BX", ["a", "bX", "c"]),
        ("a\nb\nc\x1b[2A\rx\x1b[J", ["x"]),
        ("ab\ncd\x1b[Ax", ["abx", "cd"]),
        ("first\n\x1b[99999999Aup", ["uprst"]),
        ("é\n\x1b[Aè\n", ["è"]),
    ],
)
def test_lines_that_are_written_over_together_stand_in_their_last_states(
    printed: str, stand: list[str]
) -> None:
    assert [line.decode().rstrip() for line in lines_of(printed.encode())] == stand


def test_what_a_program_can_still_go_up_to_waits_and_is_shown_as_it_stands() -> None:
    lines = Lines()
    assert lines.feed(b"said\nouter 1\n\r inner 1\x1b[A") == [b"said"]
    assert lines.pending() == b"outer 1\n inner 1"
    assert lines.feed("\router 2\n\r innér 2\x1b[".encode()) == []
    assert lines.feed(b"A") == []
    assert lines.pending() == "outer 2\n innér 2".encode()
    assert lines.feed(b"\n\n1\n2\n3") == [b"outer 2", " innér 2".encode(), b"1", b"2"]
    assert lines.pending() == b"3"
    assert lines.finish() == [b"3"]


@given(
    st.lists(
        st.sampled_from(["\n", "\r", "a", "b\n", "\x1b[A", "\x1b[2A", "\x1b[B", "\x1b[K", "é", "\x1b[J"])
    )
)
def test_however_much_goes_up_and_down_nothing_waits_without_bound(parts: list[str]) -> None:
    lines, text = Lines(), "".join(parts).encode() * 20
    ended = [line for cut in range(0, len(text), 3) for line in lines.feed(text[cut : cut + 3])]
    assert lines.pending().count(b"\n") < 50
    assert len(ended) + len(lines.finish()) <= text.count(b"\n") + 1


def test_a_coloured_spinner_keeps_its_colours_and_leaves_nothing():
    assert last_state(b"work \x1b[32m|\x1b[0m\b\x1b[32m/\x1b[0m\b- done") == b"work - done"
    assert last_state(b"x\x1b[1m\b-") == b"\x1b[1m-\x1b[0m"


RICH = (  # rich 15: two bars, and what it says beside them; each string is one write
    "before\n",
    "\x1b[?25l",
    "one   0%\ntwo   0%",
    "\r\x1b[2K\x1b[1A\x1b[2Kone  50%\ntwo  50%",
    "\r\x1b[2K\x1b[1A\x1b[2Ksaid\none  50%\ntwo  50%",
    "\r\x1b[2K\x1b[1A\x1b[2Kone 100%\ntwo 100%",
)


@pytest.mark.parametrize(
    ("end", "stand"),
    [
        ("\n\x1b[?25hdone\n", ["said", "one 100%", "two 100%", "done"]),
        ("\n\x1b[?25h\r\x1b[1A\x1b[2K\x1b[1A\x1b[2Kdone\n", ["said", "done"]),  # transient
        ("", ["said", "one 100%", "two 100%"]),  # killed
    ],
)
def test_bars_of_who_hides_the_cursor_leave_no_line_however_they_come(end: str, stand: list[str]) -> None:
    text = "".join([*RICH, end]).encode()
    for pieces in ([one.encode() for one in (*RICH, end)], [text[at : at + 1] for at in range(len(text))]):
        lines = Lines()
        shown = [line for piece in pieces for line in lines.feed(piece)] + lines.finish()
        assert [re.sub(rb"\x1b\[[^a-z]*[a-z]", b"", line).decode() for line in shown] == ["before", *stand]


def test_who_hides_the_cursor_and_never_goes_up_holds_back_no_more_than_a_screen() -> None:
    lines = Lines()
    assert lines.feed(b"\x1b[?25lfirst\n") == []
    shown = [line for number in range(200) for line in lines.feed(b"line %d\n" % number)]
    assert shown[-1] == b"line 199"
