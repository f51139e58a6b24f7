"""docs/dialects/gradient.md's tables of keys, made from the table of the language."""

from collections.abc import Iterator
from typing import Final

from agent.flow.dialects.gradient.table.flow import SHOWN_FLOW
from agent.flow.document import list_sections, write_keys

_HEAD: Final = """\
# Gradient's keys

<!-- Made by `python -m agent.cli.flow.language gradient` from the table in agent/flow/dialects/gradient/table. -->

A key in **bold** must be there. What each does here, and where that is not what it did there: docs/dialects/gradient.md.
"""


def make_page() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *_write_sections()]).rstrip() + "\n"


def _write_sections() -> Iterator[str]:
    for fields, scope in list_sections(SHOWN_FLOW, lambda _fields, _key: False):
        yield f"\n## {fields.name}\n"
        yield from write_keys(fields, scope)
