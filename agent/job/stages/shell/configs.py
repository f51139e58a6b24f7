"""A stage's config as its stage gets it: secrets in their places, `retry` and `concurrency` read."""

import re
from collections.abc import Mapping, Sequence

from agent.errors import AgentError
from agent.job.stages.delivery.nodes import BUFFER_BYTES, NodeSpec
from agent.spec.stages import StageRetry, StageSpec

_SECRET = re.compile(r"\$\{secrets?\.([\w-]+)\}")
_EVENT_LIMIT = 100
_FLOW_BYTES = 32 << 20  # what all buffers of a flow hold at most, about
_LEAST_BYTES = 1 << 20
_SHELL_KEYS = frozenset({"retry", "concurrency"})


def fill_secrets(value: object, secrets: Mapping[str, str]) -> object:
    """`value` with each `${secret.NAME}` in its texts; one that is not set is empty."""
    if isinstance(value, str):
        return _SECRET.sub(lambda found: _find(found[1], secrets), value)
    if isinstance(value, Mapping):
        return {key: fill_secrets(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fill_secrets(item, secrets) for item in value]
    return value


def read_config(spec: StageSpec, secrets: Mapping[str, str]) -> dict[str, object]:
    """What the stage itself is told."""
    return {key: fill_secrets(value, secrets) for key, value in spec.config.items() if key not in _SHELL_KEYS}


def read_nodes(specs: Sequence[StageSpec]) -> list[NodeSpec]:
    """What their delivery has to know of stages. Raises AgentError."""
    share = max(_LEAST_BYTES, min(BUFFER_BYTES, _FLOW_BYTES // max(1, len(specs))))
    return [_read_node(spec, share) for spec in specs]


def _read_node(spec: StageSpec, buffer_bytes: int) -> NodeSpec:
    is_zip = spec.action == "zip"
    return NodeSpec(
        name=spec.name,
        out=spec.out,
        is_trigger=spec.is_trigger,
        retry=_read_retry(spec),
        concurrency=_read_int(spec, "concurrency", 1),
        buffer_bytes=buffer_bytes,
        timeout_seconds=_read_number(spec, "timeout", 0.0) or None,
        delay_seconds=_read_number(spec, "seconds", 0.0) if spec.action == "delay" else 0.0,
        event_limit=_read_int(spec, "event_limit", _EVENT_LIMIT) if is_zip else 0,
    )


def _read_retry(spec: StageSpec) -> StageRetry:
    said = spec.config.get("retry")
    if said is None:
        return StageRetry()
    if isinstance(said, int):
        return StageRetry(attempts=said)
    if not isinstance(said, Mapping):
        raise AgentError("`retry` is a number of attempts, or a mapping", where=spec.place or spec.name)
    known = {"attempts", "first", "factor", "most", "jitter"}
    return StageRetry(**{str(key): value for key, value in said.items() if key in known})


def _read_int(spec: StageSpec, key: str, default: int) -> int:
    return int(_read_number(spec, key, default))


def _read_number(spec: StageSpec, key: str, default: float) -> float:
    value = spec.config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise AgentError(f"`{key}` is no number from 0 on: {value!r}", where=spec.place or spec.name)
    return value


def _find(name: str, secrets: Mapping[str, str]) -> str:
    """By the name as written, or as secrets are named here: in capitals, with `_` for `-`."""
    for known in (name, name.upper(), name.upper().replace("-", "_")):
        if known in secrets:
            return secrets[known]
    return ""
