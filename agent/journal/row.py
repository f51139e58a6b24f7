r"""A row of a terminal that is as wide as need be: what is printed on it, and what stands there in the end. Pure.

Understood are characters of one and two columns, those that go onto the one before, tabs, `\r`, `\b`, colours (SGR) and
the erasing of a line (EL); ECMA-48. Other control sequences take no room here and are left out.
"""

import re
from typing import Self

from agent.control_sequences import ESCAPES
from agent.widths import NARROW, width

MOST_COLUMNS = 1 << 20
_TAB_COLUMNS = 8
_LONGEST_PEN = 256
_TOKEN = re.compile(
    rf"\x1b\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])|{ESCAPES}"
    r"|(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|(?P<control>\r+|\x08+|[\x00-\x1f\x7f-\x9f])"
)
_RESET = "\x1b[0m"
_PEN = re.compile(r"\x1b\[[0-9;:]*m")
_RETURNS = re.compile(r"\r+")
# A spinner's character, and the next one in its place; the last character of a sequence is none.
_SPUN = re.compile(rf"({ESCAPES})|[ -~]\x08(?=[ -~])")


class Row:
    """The columns of a line: in each a character (empty: the second half of a wide one) and its colours."""

    def __init__(self) -> None:
        self._characters: list[str] = []
        self._pens: list[str] = []  # the sequences that set a column's colours
        self._column = 0
        self._pen = ""

    def copy(self) -> "Row":
        """Another row that says the same."""
        row = Row()
        row._characters, row._pens = self._characters.copy(), self._pens.copy()
        row._column, row._pen = self._column, self._pen
        return row

    def write(self, text: str) -> Self:
        """Print `text`, which has no newline."""
        for token in _TOKEN.finditer(_without_hidden(text)):
            match token.lastgroup:
                case "text":
                    self._print(token["text"])
                case "control":
                    self._control(token["control"])
                case "final":
                    self._sequence(token["final"], token["parameters"])
                case _:
                    pass  # a terminal's own words: titles, links
        return self

    @property
    def column(self) -> int:
        """Where the next character goes."""
        return self._column

    @property
    def columns(self) -> int:
        """How many there are."""
        return len(self._characters)

    def go_to(self, column: int) -> None:
        """Let the next character go there."""
        self._column = column

    def read(self) -> str:
        """What stands on the row, with its colours, without blanks at its end."""
        end = len(self._characters)
        while end and self._characters[end - 1] in (" ", "") and not self._pens[end - 1]:
            end -= 1
        parts: list[str] = []
        pen = ""
        for character, wanted in zip(self._characters[:end], self._pens, strict=False):
            if wanted != pen:
                parts.append((_RESET if pen else "") + wanted)
                pen = wanted
            parts.append(character)
        return "".join(parts) + (_RESET if pen else "")

    def _print(self, text: str) -> None:
        if NARROW.fullmatch(text):
            self._put(list(text))
            return
        for character in text:
            columns = width(character)
            if columns == 0:
                self._join(character)
            else:
                self._put([character, ""][:columns])

    def _put(self, characters: list[str]) -> None:
        """Put single columns where the cursor stands."""
        start = self._column
        characters = characters[: MOST_COLUMNS - start]
        end = start + len(characters)
        self._fill(start)
        if end < len(self._characters) and not self._characters[end]:
            self._characters[end] = " "  # of a wide character the first half goes
        if start and start < len(self._characters) and not self._characters[start]:
            self._characters[start - 1] = " "
        self._characters[start:end] = characters
        self._pens[start:end] = [self._pen] * len(characters)
        self._column = end

    def _join(self, mark: str) -> None:
        """Put a mark onto the character before."""
        at = self._column - 1
        while at > 0 and not self._characters[at]:
            at -= 1
        if 0 <= at < len(self._characters) and len(self._characters[at]) < _LONGEST_PEN:
            self._characters[at] += mark

    def _control(self, characters: str) -> None:
        match characters[0]:
            case "\r":
                self._column = 0
            case "\b":
                self._column = max(self._column - len(characters), 0)
            case "\t":
                self._column = min((self._column // _TAB_COLUMNS + 1) * _TAB_COLUMNS, MOST_COLUMNS)
                self._fill(self._column)
            case _:
                pass

    def _sequence(self, final: str, parameters: str) -> None:
        match final:
            case "m":
                self._colour(parameters)
            case "K":
                self._erase(parameters)
            case _:
                pass  # it would move the cursor to another row

    def _colour(self, parameters: str) -> None:
        if parameters.strip("0;") == "":
            self._pen = ""
        elif parameters.startswith("0;") or len(self._pen) > _LONGEST_PEN:
            self._pen = f"\x1b[{parameters}m"
        else:
            self._pen += f"\x1b[{parameters}m"

    def _erase(self, parameters: str) -> None:
        match parameters:
            case "" | "0":
                del self._characters[self._column :], self._pens[self._column :]
            case "1":
                end = min(self._column + 1, len(self._characters))
                self._characters[:end], self._pens[:end] = [" "] * end, [""] * end
            case "2":
                self._characters.clear()
                self._pens.clear()
            case _:
                pass

    def _fill(self, columns: int) -> None:
        missing = columns - len(self._characters)
        if missing > 0:
            self._characters += [" "] * missing
            self._pens += [""] * missing


def _without_hidden(text: str) -> str:
    """`text` without the states of the line that later ones have wholly written over: of a bar nearly all of them.

    Of a hidden state its colours stay, as they may be those of the next. Where the first one begins is not known here.
    """
    first, *states = _SPUN.sub(r"\1", _RETURNS.sub("\r", text)).split("\r")
    shown: list[str] = []
    covered = -1  # columns that later states write on for certain; the last state is always shown
    for state in reversed(states):
        plain = _PEN.sub("", state) if "\x1b" in state else state
        if NARROW.fullmatch(plain):
            if len(plain) <= covered:
                if plain != state:
                    shown.append("".join(_PEN.findall(state)))
                continue
            covered = len(plain)
        elif covered < 0:
            covered = 0
        shown.append(state)
    return "\r".join([first, *reversed(shown)])
