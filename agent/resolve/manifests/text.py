"""Manifests as text and as nodes, whatever language they are in."""

from pathlib import Path

from agent.errors import AgentError
from agent.flow.problems import InvalidFlowError
from agent.flow.source import Node, YamlLimits, read_source
from agent.resolve.manifests.model import InvalidActionError


def read_nodes(text: str, file: str, limits: YamlLimits) -> Node:
    """The nodes of a manifest; `file` names it in messages. Raises InvalidActionError."""
    try:
        return read_source(text, file, limits=limits)
    except InvalidFlowError as error:
        raise InvalidActionError(file, error.problems) from None


def read_text(file: Path, shown_as: str) -> str:
    """What stands in the file, which messages call `shown_as`. Raises AgentError."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise AgentError(f"{file.name} is not UTF-8 text", where=shown_as) from None
    except OSError as error:
        raise AgentError(f"{file.name} can't be read: {error.strerror}", where=shown_as) from None
