"""`provider`, and `providers.yaml`: which provider a workflow names, built in or of its repository."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.flow.dialects.dstack.parts import commands_of
from agent.flow.dialects.dstack.table.files import PROVIDERS_FILE
from agent.flow.dialects.dstack.table.providers import PROVIDERS
from agent.flow.dialects.dstack.table.shared import PROVIDER
from agent.flow.members import find_close
from agent.flow.reading import Reader
from agent.flow.source import Mapping as MappingNode
from agent.flow.source import Node
from agent.flow.tidied import list_fields, list_items, text_of


@dataclass(frozen=True, slots=True)
class CustomProvider:
    """A provider of `providers.yaml`."""

    image: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Providers:
    """Those of a repository, by name."""

    custom: Mapping[str, CustomProvider] = field(default_factory=dict)


def read_providers(reader: Reader, root: Node) -> Providers:
    """The providers of the file, tidied; of two of one name the first counts."""
    fields = list_fields(reader.read(root, PROVIDERS_FILE))
    custom: dict[str, CustomProvider] = {}
    for item in list_items(fields.get("providers")):
        parts = list_fields(item)
        name = text_of(parts.get("name"))
        if name in custom:
            reader.warn(item, f"there is a provider '{name}' above", "the first one counts")
            continue
        custom[name] = CustomProvider(text_of(parts.get("image")), tuple(commands_of(parts.get("commands"))))
    return Providers(custom)


def find_provider(reader: Reader, node: Node, providers: Providers) -> tuple[str, CustomProvider | None]:
    """The built-in provider that a workflow names, or the repository's own. What is neither is reported; then the name is empty."""
    named = reader.read(node, PROVIDER)
    fields = list_fields(named)
    repository = text_of(fields.get("repo"))
    name, _, branch = text_of(fields.get("name") if isinstance(named, MappingNode) else named).partition("@")
    if not name:
        return "", None
    if name in providers.custom and not repository:
        return name, providers.custom[name]
    if name in PROVIDERS:
        where = f"of {repository}" if repository else f"at {branch}" if branch else ""
        if where:
            reader.warn(node, f"the provider '{name}' {where} is not fetched", "the built-in one runs it")
        return name, None
    if repository:
        reader.report(
            node,
            f"the provider '{name}' of {repository} is not here",
            "copy its entry into .dstack/providers.yaml",
        )
        return "", None
    known = (*providers.custom, *PROVIDERS)
    close = find_close(name, known)
    hint = (
        f"did you mean `{close}`?"
        if close
        else f"known are {', '.join(known)}; others go into .dstack/providers.yaml"
    )
    reader.report(node, f"there is no provider '{name}'", hint)
    return "", None
