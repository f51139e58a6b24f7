"""Control sequences: what a terminal acts upon and shows nothing of. One definition for who shows output and who masks it.

Whoever leaves them out puts together what stands on both sides of one, so a secret with one inside is masked as the secret that it is.

Sources: ECMA-48 (5.4 CSI; 5.6 and 8.3.89 OSC and other strings), ISO 2022 (13.2.1: other escape sequences), and xterm, which ends
strings with BEL too.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from typing import Final

MOST_SEEN_THROUGH: Final = (
    4096  # bytes of one sequence, for who masks: a longer one is taken for text from there on
)
_LIMIT: Final = f"{{0,{MOST_SEEN_THROUGH}}}"
_STRING: Final = r"[^\x07\x08\n\r\x1b]"  # of a title, a link, a picture: it ends with its line at the latest


def _describe_csi(repeat: str) -> str:
    return f"[0-?]{repeat}[ -/]{repeat}[@-~]?"  # colours, the cursor


def _describe_escape(repeat: str) -> str:
    strings = rf"[\]PX^_]{_STRING}{repeat}(?:\x07|\x1b\\)?"  # OSC, DCS, SOS, PM, APC
    others = f"[ -/]{repeat}[0-~]?"  # character sets, the saved cursor and their like
    return rf"\x1b(?:\[{_describe_csi(repeat)}|{strings}|{others})"


ESCAPES: Final = rf"{_describe_escape('*')}|\x9b{_describe_csi('*')}"  # an expression for text

# The same in UTF-8; besides, all other controls but tabs and newlines, and the characters of Unicode that nobody sees.
_ESCAPE: Final = _describe_escape(_LIMIT).encode()
_CONTROLS: Final = bytes([*range(0x09), *range(0x0B, 0x1B), *range(0x1C, 0x20), 0x7F])
_UNSEEN: Final = (
    rf"\xc2(?:\x9b{_describe_csi(_LIMIT)}|[\x80-\x9f\xad])|\xd8\x9c|\xe1\xa0\x8e|\xe2(?:\x80[\x8b-\x8f\xa8-\xae]|\x81[\xa0-\xaf])"
    r"|\xef(?:\xbb\xbf|\xbf[\xb9-\xbb])|\xf3\xa0[\x80\x81][\x80-\xbf]".encode()
)
_C1_CSI: Final = b"\xc2\x9b"
_SIGNS: Final = tuple(b"\xc2 \xd8\x9c \xe1\xa0\x8e \xe2\x80 \xe2\x81 \xef\xbb\xbf \xef\xbf \xf3\xa0".split())
_HIDDEN: Final = b"|".join([_ESCAPE, b"[" + re.escape(_CONTROLS) + b"]", _UNSEEN])
# What may be the beginning of one of them, and no more has come.
_OPEN: Final = (
    rf"(?:\x1b[\]PX^_]{_STRING}{_LIMIT}\x1b?|(?:\x1b\[|\xc2\x9b)[0-?]{_LIMIT}[ -/]{_LIMIT}|\x1b[ -/]{_LIMIT}"
    r"|\xc2|\xd8|\xe1\xa0?|\xe2[\x80\x81]?|\xef[\xbb\xbf]?|\xf3(?:\xa0[\x80\x81]?)?)\Z".encode()
)


@cache
def _compile(pattern: bytes) -> re.Pattern[bytes]:
    """Most jobs print nothing of the kind, and who only shows output needs none of them."""
    return re.compile(pattern)


def leave_out_hidden(data: bytes) -> bytes:
    """The bytes without what nobody sees of them. Most output has nothing of the kind, and this takes next to no time then."""
    is_ascii = data.isascii()
    if (
        not is_ascii and _C1_CSI in data
    ):  # what follows it is its own, or not: all has to be read in its order
        return _compile(_HIDDEN).sub(b"", data)
    text = _compile(_ESCAPE).sub(b"", data) if b"\x1b" in data else data
    text = text.translate(None, _CONTROLS)
    if not is_ascii and any(sign in text for sign in _SIGNS):
        text = _compile(_UNSEEN).sub(b"", text)
    return text


class SeenText:
    """Bytes as somebody sees them who is shown no control sequence: `text`, and where it stands in the bytes."""

    def __init__(self, data: bytes) -> None:
        self.text = _compile(_HIDDEN).sub(b"", data)
        self._data = data
        self._runs: list[tuple[int, int]] = []  # of what is seen: where it begins in `text`, and in the bytes

    def place(self, index: int) -> int:
        """Where the byte `index` of the text stands."""
        if not self._runs:
            self._runs = self._find_runs()
        seen, start = self._runs[bisect_right(self._runs, index, key=lambda run: run[0]) - 1]
        return start + index - seen

    def _find_runs(self) -> list[tuple[int, int]]:
        runs: list[tuple[int, int]] = []
        seen = place = 0
        for hidden in _compile(_HIDDEN).finditer(self._data):
            if hidden.start() > place:
                runs.append((seen, place))
                seen += hidden.start() - place
            place = hidden.end()
        return [*runs, (seen, place)]


def find_hidden(data: bytes) -> Iterator[tuple[int, int]]:
    """(start, end) of each sequence, and each other byte that nobody sees, in their order."""
    return (hidden.span() for hidden in _compile(_HIDDEN).finditer(data))


def find_open(data: bytes) -> int:
    """Where a control sequence begins that the bytes do not end; their length when there is none."""
    found = _compile(_OPEN).search(data, max(0, len(data) - 2 * MOST_SEEN_THROUGH - 4))
    return found.start() if found else len(data)


def find_around(data: bytes, place: int) -> int:
    """Where the control sequence begins that `place` is inside of; `place` when it is in none."""
    for hidden in _compile(_HIDDEN).finditer(data):
        if hidden.end() > place:
            return min(hidden.start(), place)
    return place
