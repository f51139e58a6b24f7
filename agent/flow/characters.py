"""Text that YAML 1.2 takes and PyYAML's scanner does not, made harmless before scanning and restored after.

PyYAML refuses control characters (an escape sequence in a script), takes U+0085, U+2028 and U+2029 for line breaks as YAML
1.1 did, and stumbles over tabs that only fill blank lines. GitHub reads all of these.
"""

import re
from typing import Any, Final

_ODD: Final = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]"
_FIRST_STAND_IN: Final = 0x10E000  # U+10E000 stands for U+0000, and so on: a private area that nobody types
_STAND_INS: Final = "[\U0010e000-\U0010ffff]"
_SPECIALS: Final = {0x2028: 0x10E100, 0x2029: 0x10E101, 0xFEFF: 0x10E102, 0xFFFE: 0x10E103, 0xFFFF: 0x10E104}
_WIDE: Final = "[\U00010000-\U0010dfff]"


def protect_text(text: str) -> str:
    """`text` with stand-ins for odd characters, one for one, so that places stay; unchanged where there are none."""
    if not re.search(_ODD, text) or re.search(_STAND_INS, text):
        return text
    return re.sub(_ODD, lambda match: chr(_stand_in(ord(match[0]))), text)


def restore_text(text: str) -> str:
    """The text that was protected."""
    if text.isascii() or not re.search(_STAND_INS, text):
        return text
    originals = {stand_in: code for code, stand_in in _SPECIALS.items()}
    return re.sub(
        _STAND_INS, lambda match: chr(originals.get(ord(match[0]), ord(match[0]) - _FIRST_STAND_IN)), text
    )


def has_wide(text: str) -> bool:
    """Whether any character counts as two, as it does in UTF-16 and so in GitHub's and editors' columns."""
    return not text.isascii() and re.search(_WIDE, text) is not None


def count_wide(text: str) -> int:
    """How many characters count as two."""
    return len(re.findall(_WIDE, text))


def replace_tabs(text: str, error: Any) -> str | None:
    """`text` without the tab that a YAML error is about, where that tab is no harm; None where it is.

    On a blank line, before a comment, and between a `-` and its text a tab means nothing and becomes a space. Where it
    begins the first line of a block of text it is content, and gets a stand-in.
    """
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return None
    begin = mark.index - mark.column
    end = text.find("\n", begin)
    line = text[begin : end if end >= 0 else len(text)]
    content = line.lstrip(" \t")
    blank = line[: len(line) - len(content)]
    repaired = blank.replace("\t", " ")
    is_blank = not content.strip()
    if "indentation space is expected" in str(error.problem):  # in a block of text
        repaired = blank if is_blank else blank.replace("\t", chr(_stand_in(ord("\t"))), 1)
    elif not is_blank and content[0] != "#":
        dash = re.match(r" *-[ \t]+(?![-?:\s]|[^'\"]*:(?:\s|$))", line)
        blank = dash[0] if dash else ""
        repaired = blank.replace("\t", " ")
    return None if repaired == blank else text[:begin] + repaired + text[begin + len(blank) :]


def _stand_in(code: int) -> int:
    return _SPECIALS.get(code, code + _FIRST_STAND_IN)
