"""The language's page for people, made from its table."""

from collections.abc import Iterator, Sequence
from typing import Final

from agent.flow.context_scope import NOWHERE
from agent.flow.dialects.jumpwire.limits import LIMITS
from agent.flow.dialects.jumpwire.retry import RETRY
from agent.flow.dialects.jumpwire.settings import Action, ConfigKey
from agent.flow.dialects.jumpwire.table.flow import FLOW, STAGE
from agent.flow.dialects.jumpwire.table.stages import SHARED, STAGES
from agent.flow.dialects.jumpwire.table.triggers import TRIGGERS
from agent.flow.document import describe_shape, write_keys

_HEAD: Final = f"""\
# JumpWire's flow language

<!-- Made from the table in agent/flow/dialects/jumpwire/table by its page.py. Change the table, not this page. -->

A flow is a YAML or JSON file. This page has every key: what it may hold, what it is where it is not written, and what it
means. A key in **bold** must be there. docs/dialects/jumpwire.md begins at the beginning, and says where something works differently than there.

- In any text of a `config`, `${{secret.NAME}}` and `${{secrets.NAME}}` stand for a secret. Everything else is text, `${{{{ }}}}` too.
- Limits: {LIMITS.characters:,} characters, {LIMITS.depth} lists and mappings inside one another."""
_TRIGGERS: Final = "Nothing is handed to a trigger: it brings records in."
_STAGES: Final = "Each of them also takes:"


def make_page() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *_write_sections()]).rstrip() + "\n"


def _write_sections() -> Iterator[str]:
    for fields in (FLOW, STAGE):
        yield f"\n## {fields.name}\n"
        yield from write_keys(fields, NOWHERE)
    yield f"\n## Triggers\n\n{_TRIGGERS}"
    for action in TRIGGERS.values():
        yield from _write_action(action, action.settings)
    yield f"\n## Stages\n\n{_STAGES}\n"
    yield from _write_settings(SHARED)
    for action in STAGES.values():
        yield from _write_action(action, [each for each in action.settings if each not in SHARED])
    yield "\n## retry\n\nA number is how often in all; or:\n"
    yield from _write_settings([key for key in RETRY.keys.values() if isinstance(key, ConfigKey)])


def _write_action(action: Action, settings: Sequence[ConfigKey]) -> Iterator[str]:
    yield f"\n### {action.title}\n\n{action.about}"
    entries = action.config.entries
    if settings or entries is not None:
        yield ""
        yield from _write_settings(settings)
    if entries is not None:
        yield f"| *{action.config.entry_name}* | {describe_shape(entries)} | | Any other name. |"


def _write_settings(settings: Sequence[ConfigKey]) -> Iterator[str]:
    yield "| key | value | unless said | meaning |\n| --- | --- | --- | --- |"
    for key in settings:
        name = f"**`{key.name}`**" if key.required else f"`{key.name}`"
        yield f"| {name} | {describe_shape(key.shape)} | {_show(key)} | {key.about} |"


def _show(setting: ConfigKey) -> str:
    default = setting.default
    if default is None or default in ({}, []) or setting.name == "retry":
        return ""
    if isinstance(default, list):
        return ", ".join(f"`{item}`" for item in default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
