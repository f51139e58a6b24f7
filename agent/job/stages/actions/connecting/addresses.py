"""Addresses of servers, which may hold a password: never shown."""

from collections.abc import Collection
from urllib.parse import urlsplit

from agent.errors import AgentError
from agent.job.stages.stage import StageContext


def read_address(context: StageContext, key: str, schemes: Collection[str]) -> str:
    """The address in a config's `key`. Raises AgentError for one that no client could use."""
    text = str(context.config.get(key) or "")
    for one in text.split(","):
        try:
            parts = urlsplit(one.strip())
            _ = parts.port
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in schemes:
            wanted = ", ".join(f"{scheme}://" for scheme in sorted(schemes))
            raise AgentError(
                f"the `{key}` of the stage '{context.name}' is no address that begins with {wanted}"
            )
    return text
