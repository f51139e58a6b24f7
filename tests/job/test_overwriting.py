"""A secret that is on a terminal's line because the line is written over is masked, too."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.job.output.masking import Masker, MaskStream
from agent.journal.lines import last_state
from agent.widths import width

CUTS = st.lists(st.integers(0, 200), max_size=8)


def make_masker(secret: str) -> Masker:
    masker = Masker()
    masker.add(secret)
    return masker


def feed_in_pieces(masker: Masker, data: bytes, cuts: list[int]) -> bytes:
    stream = MaskStream(masker)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    shown = [stream.feed(data[start:end]) for start, end in itertools.pairwise(places)]
    return b"".join([*shown, stream.finish()])


OVERWRITTEN = {
    "corrected": "s3cretvaXX\b\blue99",
    "overstruck": "".join(f"{character}\b{character}" for character in "s3cretvalue99"),
    "returned": "XXXXXXvalue99\rs3cret",
    "three times": "s3cret\r\r\bs3cretXXXXXXX\b\b\b\b\b\b\bvalue99",
    "to the left": "value99XXXXXX\x1b[13Ds3cretvalue99",
    "to a column": "XXXXXXvalue99\x1b[1Gs3cret",
    "to a column, a rest erased": "s3cretXXXX\x1b[7G\x1b[Kvalue99",
    "taken out": "s3cret value99\x1b[8D\x1b[P",
    "put between": "svalue99\x1b[7D\x1b[5@3cret",
    "cursor saved and restored": "\x1b7XXXXXXvalue99\x1b8s3cret",
    "cursor saved and restored, as of SCO": "\x1b[sXXXXXXvalue99\x1b[us3cret",
    "inserted": "s3etvalue99\x1b[4h\x1b[9Dcr\x1b[4l",
    "inserted, and no longer": "s3etXalue99\x1b[9D\x1b[4hcr\x1b[4l\x1b[7Gv",
    "nobody sees DEL and NUL": "s3c\x7fX\b\x00retvalue99",
    "wide characters": "\u4e16\u754c\x1b[4Ds3cretvalue99",
    "a bar before": "45 %|\u2588\u2588\u2588  |\rs3cretvXXX\b\b\balue99",
}


class Terminal:
    """A row of a terminal, as simple as can be."""

    def __init__(self) -> None:
        self.row: list[str] = []
        self.column = 0
        self.saved = 0
        self.inserts = False

    def take(self, sequence: str, number: int) -> None:
        """A control sequence, by its last character."""
        match sequence:
            case "D":
                self.column = max(self.column - number, 0)
            case "G":
                self.column = number - 1
            case "s" | "7":
                self.saved = self.column
            case "u" | "8":
                self.column = self.saved
            case "h" | "l" if number == 4:
                self.inserts = sequence == "h"
            case "K":
                del self.row[self.column :]
            case "P":
                del self.row[self.column : self.column + number]
            case "@":
                self.row += [" "] * (self.column - len(self.row))
                self.row[self.column : self.column] = [" "] * number

    def put(self, character: str) -> None:
        """Any other character."""
        if character == "\b":
            self.column = max(self.column - 1, 0)
        elif character == "\r":
            self.column = 0
        elif character == "\n":
            self.row, self.column, self.saved, self.inserts = [], 0, 0, False
        elif character not in "\x00\x7f":
            columns = [character, ""][: width(character)]
            self.row += [" "] * (self.column - len(self.row))
            self.row[self.column : self.column + (0 if self.inserts else len(columns))] = columns
            self.column += len(columns)


def paint(data: bytes) -> str:
    """What a terminal shows of `data` in the end, and whenever its cursor moved before."""
    terminal, shown = Terminal(), []
    for token in re.finditer(r"\x1b(?:\[([0-9]*)([A-Za-z@])|([78]))|(.)", data.decode(), re.DOTALL):
        if token[2] or token[3]:
            shown.append("".join(terminal.row))
            terminal.take(token[2] or token[3], max(int(token[1] or 0), 1))
        else:
            if not token[4].isprintable():
                shown.append("".join(terminal.row))
            terminal.put(token[4])
    return "\n".join([*shown, "".join(terminal.row)])


@pytest.mark.parametrize("printed", OVERWRITTEN.values(), ids=OVERWRITTEN)
@pytest.mark.parametrize("cut", [1, 2, 5, 1000])
def test_a_secret_that_a_line_shows_because_it_is_written_over_is_masked(printed: str, cut: int) -> None:
    assert "s3cretvalue99" in paint(printed.encode()), "that is what a terminal shows"
    data = f"{printed}\nnext".encode()
    shown = feed_in_pieces(make_masker("s3cretvalue99"), data, list(range(0, len(data), cut)))
    assert "s3cretvalue99" not in paint(shown)
    assert b"s3cretvalue99" not in b"".join(map(last_state, shown.splitlines(keepends=True)))
    assert b"***" in shown
    assert shown.endswith(b"\nnext")


MOVES = [
    "a",
    "b",
    "ab",
    "ba",
    "x",
    " ",
    "\b",
    "\r",
    "\x1b[2D",
    "\x1b[G",
    "\x1b[3G",
    "\x1b[K",
    "\x1b[P",
    "\x1b[@",
    "\x1b7",
    "\x1b8",
    "\x1b[s",
    "\x1b[u",
    "\x1b[4h",
    "\x1b[4l",
    "\x00",
    "\x7f",
    "\n",
]


@given(
    st.sampled_from(["abab", "aabb", "a b a", "baab"]), st.lists(st.sampled_from(MOVES), max_size=25), CUTS
)
def test_however_a_line_is_written_over_no_terminal_shows_a_secret(
    secret: str, parts: list[str], cuts: list[int]
) -> None:
    shown = feed_in_pieces(make_masker(secret), "".join(parts).encode(), cuts)
    assert secret not in paint(shown)
    assert secret.encode() not in b"\n".join(map(last_state, shown.split(b"\n")))


def test_a_bar_that_is_written_over_is_not_held_back() -> None:
    stream = MaskStream(make_masker("s3cretvalue99"))
    for percent in range(100):
        state = "\r{:3} %|{:20}|".format(percent, "\u2588" * (percent // 5)).encode()
        assert stream.feed(state) == state


def test_names_that_show_a_secret_by_writing_over_hold_it() -> None:
    masker = make_masker("s3cretvalue99")
    assert all(masker.holds_secret(printed) for printed in OVERWRITTEN.values())
