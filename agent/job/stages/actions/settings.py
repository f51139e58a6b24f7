"""Settings that the configurations of many stages have."""

from collections.abc import Mapping
from typing import Final

from agent.errors import AgentError
from agent.job.stages.stage import StageContext

_SECONDS: Final = 30.0


def read_seconds(context: StageContext) -> float:
    """`timeout`: how long an answer may take. Raises AgentError."""
    value = context.config.get("timeout", _SECONDS)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise AgentError("`timeout` is a number of seconds above 0", where=context.name)
    return float(value)


def read_text(context: StageContext, key: str) -> str:
    """A text; empty where it is not said. Raises AgentError."""
    value = context.config.get(key) or ""
    if not isinstance(value, str):
        raise AgentError(f"`{key}` is a text", where=context.name)
    return value


def read_mapping(context: StageContext, key: str) -> Mapping[str, object]:
    """A mapping; empty where it is not said. Raises AgentError."""
    value = context.config.get(key) or {}
    if not isinstance(value, Mapping):
        raise AgentError(f"`{key}` is a mapping", where=context.name)
    return value
