"""Strangers' text on a page: nothing in it plays with a terminal, hides a link, or turns the reading direction."""

import re

from agent.visible import HIDDEN

_ESCAPES = re.compile(
    r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles, links (8), the clipboard (52)
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # DCS, SOS, PM, APC
    r"|[\x1b\x9b]\[?[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b"
)
_ODD = re.compile(rf"(?![\t\n])[{HIDDEN}]")


def plain_text(value: object) -> object:
    """A text without escape sequences, its other control and direction characters shown as U+FFFD; else `value`.

    Texts that are marked as HTML are jinja's own; autoescaping comes after this.
    """
    if type(value) is not str:
        return value
    return _ODD.sub("\ufffd", _ESCAPES.sub("", value.replace("\r\n", "\n")))
