"""The page of the language: its keys, file by file and provider by provider."""

from collections.abc import Iterator
from typing import Final

from agent.flow.dialects.dstack.table.files import LANGUAGE_FIELDS, PROVIDERS_FIELDS, VARIABLES_FIELDS
from agent.flow.document import list_sections, write_keys

_HEAD: Final = """\
# dstack's workflows

<!-- Made from the table in agent/flow/dialects/dstack/table by its page.py. Change the table, not this page. -->

Every key, as `agent flow validate` reads it. What works as it did there, what works otherwise and what has no effect:
[dstack.md](dstack.md).
"""


def make_page() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *_write_sections()]).rstrip() + "\n"


def _write_sections() -> Iterator[str]:
    for file in (LANGUAGE_FIELDS, VARIABLES_FIELDS, PROVIDERS_FIELDS):
        for fields, scope in list_sections(file, lambda _fields, _key: False):
            yield f"\n## {fields.name}\n"
            yield from write_keys(fields, scope)
