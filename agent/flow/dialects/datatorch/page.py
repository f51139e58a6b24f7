"""The language's page for people, made from its table."""

from collections.abc import Iterator
from typing import Final

from agent.flow.dialects.datatorch.limits import LIMITS
from agent.flow.dialects.datatorch.table.flow import FLOW_FIELDS
from agent.flow.document import list_sections, write_keys

_HEAD: Final = f"""\
# DataTorch's flow language

<!-- Made from the table in agent/flow/dialects/datatorch/table by its page.py. Change the table, not this page. -->

A flow, or pipeline, is a YAML or JSON file. This page has every key: what it may hold, which contexts its templates may read,
and what it means. A key in **bold** must be there. docs/dialects/datatorch.md says where a key works differently than there.

- A template `${{{{ }}}}` holds a path or a literal. One that is the whole value keeps what it leads to as it is; within text it
  becomes text. A path that leads to nothing fails the step.
- Limits: {LIMITS.characters:,} characters, {LIMITS.depth} lists and mappings inside one another.
"""


def make_page() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *_write_sections()]).rstrip() + "\n"


def _write_sections() -> Iterator[str]:
    for fields, scope in list_sections(FLOW_FIELDS, lambda _fields, _key: False):
        yield f"\n## {fields.name}\n"
        yield from write_keys(fields, scope)
