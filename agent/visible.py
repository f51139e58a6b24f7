"""Names as people see them: no character in one steers a terminal, breaks the line, turns the reading direction or is unseen.

Sources: Unicode TR 36, 3.6 (unseen characters), UAX 9 (directions: CVE-2021-42574), UAX 14 (U+0085, U+2028, U+2029 end lines).
Joiners (U+200C, U+200D) pass: Persian, Hindi and many pictures are written with them.
"""

import re
import unicodedata
from typing import Final

from agent.errors import UsageError

DIRECTIONS: Final = "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"
# Within the brackets of a regular expression.
HIDDEN: Final = (
    f"\\x00-\\x1f\\x7f-\\x9f\\xad{DIRECTIONS}\\u180e\\u200b\\u2028\\u2029\\u2060-\\u2065\\ufeff\\ufff9-\\ufffb\\ud800-\\udfff"
    "\\U000e0000-\\U000e007f"
)
_JOINERS: Final = "\u200c\u200d"


def check_visible(name: str, what: str) -> str:
    """`name`, when every character of it can be seen. Raises UsageError; `what` it is the name of: `artifact`."""
    found = re.search(f"[{HIDDEN}]", name)
    if found is not None:
        raise UsageError(
            f"the name of {what} may not hold the character U+{ord(found[0]):04X}, which nobody would see",
            where=show_name(name[:80]),
        )
    return name


def show_name(text: str) -> str:
    """`text` from outside as people are shown it: on one line, with the codes (U+202E as an escape) for what would not be seen."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_show, text))


def _show(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    if character in "\t\n" or unicodedata.category(character) == "Zs":
        return " "
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
