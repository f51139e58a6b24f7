"""Widths of characters: how many columns of a terminal each takes. Pure."""

import re
import unicodedata
from typing import Final

# Text of which each character takes one column: nothing has to be asked of Unicode.
NARROW: Final = re.compile(
    "[ -~\u00a0-\u02ff\u0370-\u0482\u048a-\u052f\u2010-\u2027\u2030-\u205e\u2190-\u22ff\u2500-\u25fc\u2800-\u28ff]*"
)


def width(character: str) -> int:
    """The columns that a character takes on a terminal: 0, 1 or 2 (Unicode: UAX 11)."""
    if character < "\u0300":
        return 1
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
