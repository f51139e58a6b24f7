"""Strangers' text on a page: nothing in it plays with a terminal, hides a link, or turns the reading direction."""

import re

from agent.control_sequences import ESCAPES
from agent.visible import HIDDEN

_ESCAPES = re.compile(ESCAPES)
_ODD = re.compile(rf"(?![\t\n])[{HIDDEN}]")


def plain_text(value: object) -> object:
    """A text without escape sequences, its other control and direction characters shown as U+FFFD; else `value`.

    Texts that are marked as HTML are jinja's own; autoescaping comes after this.
    """
    if type(value) is not str:
        return value
    return _ODD.sub("\ufffd", _ESCAPES.sub("", value.replace("\r\n", "\n")))
