"""The planner's states as text, and back: `agent.codec`'s form, made and read by msgspec in a tenth of the time.

What JSON has no word for, a number that is not finite, stays with the slow way, which has one. Version 0.1 wrote the
contexts that a run begins with as `github` alone: such a state reads as if it had been written today.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

import msgspec

from agent import codec
from agent.plan import RunState
from agent.spec.event_apart import hollow_out


def dump(state: RunState) -> str:
    """The state as one line of JSON text, less an event that is kept apart."""
    apart = state.request.event_apart
    if apart is not None:
        contexts = hollow_out(state.request.contexts, apart)
        state = replace(state, request=replace(state.request, contexts=contexts))
    written = (state.request.inputs, state.request.contexts, *(job.cell for job in state.jobs.values()))
    if not _are_finite(written):
        return codec.dump(state)
    return _ENCODER.encode(state).decode()


def parse(text: str, *, where: str) -> RunState:
    """The state in `text`; `agent.server.runs.long_events` fills in an event that is kept apart. Raises DamagedError."""
    try:
        state = _DECODER.decode(text)
    except msgspec.DecodeError:  # the slow way also knows which key is wrong
        state = codec.parse(RunState, text, where=where)
    return state if state.request.contexts else _read_old_contexts(state, text)


def _read_old_contexts(state: RunState, text: str) -> RunState:
    old = json.loads(text)["request"].get("github")
    if old is None:
        return state
    return replace(state, request=replace(state.request, contexts={"github": old}))


def _are_finite(values: Iterable[object]) -> bool:
    for value in values:
        if isinstance(value, float):
            if not math.isfinite(value):
                return False
        elif isinstance(value, Mapping):
            if not _are_finite(value.values()):
                return False
        elif isinstance(value, (list, tuple)) and not _are_finite(value):
            return False
    return True


def _unwrap(value: object) -> object:
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_ENCODER = msgspec.json.Encoder(enc_hook=_unwrap)
_DECODER = msgspec.json.Decoder(RunState)
