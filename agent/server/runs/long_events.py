"""Long events: kept once a run, so that neither its state nor each of its jobs has 25 MiB in it.

What the planner evaluates is whole: a run's state is read with its event in place, and of that only the members that somebody
asks for become objects. The last few documents are kept, for a run is planned at each of its jobs' turns.
"""

import json
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from agent.errors import DamagedError
from agent.flow.dialect import Dialect
from agent.plan import RunStart, RunState
from agent.server.pools import Pool
from agent.server.store import event_parts
from agent.server.store.database import Connection
from agent.spec.event_apart import EventApart, EventPlace, fill_in, find_digest, look_up
from agent.spec.job import Contexts, JobSpec
from agent.wire.messages import EVENT_PART_BYTES

_LONG_BYTES = 256 << 10  # of an event's text: a longer one is kept apart
_MOST_CACHED_BYTES = 64 << 20  # of documents


class LongEvents:
    """The documents of runs."""

    def __init__(self, threads: Pool) -> None:
        self._threads = threads
        self._documents: OrderedDict[str, tuple[int, Sequence[object]]] = OrderedDict()

    async def set_apart(self, connection: Connection, dialect: Dialect, start: RunStart) -> RunStart:
        """A new run's start; where its event is long, its document is stored, and the start names it."""
        values, places = _collect(start.contexts, dialect.event_places)
        if not _is_long(values):
            return start
        found = await self._threads.run(_write, values)
        if found is None:
            return start
        digest, size, parts = found
        await event_parts.add_parts(connection, start.run, parts)
        return replace(start, event_apart=EventApart(digest, size, places))

    async def fill_state(self, connection: Connection, state: RunState) -> RunState:
        """A run's state as it is planned. Raises DamagedError when its event is not there."""
        apart = state.request.event_apart
        if apart is None:
            return state
        values = await self._find(connection, state.request.run, apart)
        contexts = fill_in(state.request.contexts, apart, values)
        return replace(state, request=replace(state.request, contexts=contexts))

    async def fill_job(self, connection: Connection, spec: JobSpec) -> JobSpec:
        """A job's specification with its event. Raises DamagedError when that is not there."""
        if spec.event_apart is None:
            return spec
        return spec.with_event(await self._find(connection, spec.run, spec.event_apart))

    async def _find(self, connection: Connection, run: int, apart: EventApart) -> Sequence[object]:
        known = self._documents.pop(apart.digest, None)
        if known is None:
            parts = await event_parts.list_parts(connection, run)
            known = apart.size_bytes, await self._threads.run(_read, parts, apart, run)
        self._documents[apart.digest] = known
        while len(self._documents) > 1 and self._count_bytes() > _MOST_CACHED_BYTES:
            self._documents.popitem(last=False)
        return known[1]

    def _count_bytes(self) -> int:
        return sum(size for size, _ in self._documents.values())


class LateMapping(Mapping[str, object]):
    """A JSON object whose members are read when they are asked for. It says what a dict of them would."""

    def __init__(self, members: dict[str, msgspec.Raw]) -> None:
        self._members: dict[str, object] = dict(members)

    def __getitem__(self, name: str) -> object:
        value = self._members[name]
        if isinstance(value, msgspec.Raw):
            value = self._members[name] = msgspec.json.decode(value)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members


def _collect(
    contexts: Contexts, paths: Sequence[tuple[str, ...]]
) -> tuple[list[object], tuple[EventPlace, ...]]:
    """What stands in those places, each value once."""
    values: list[object] = []
    places = []
    for path in paths:
        value = look_up(contexts, path)
        if isinstance(value, Mapping):
            if value not in values:
                values.append(value)
            places.append(EventPlace(path, values.index(value)))
    return values, tuple(places)


def _is_long(values: list[object]) -> bool:
    try:
        return len(_ENCODER.encode(values)) > _LONG_BYTES
    except (ValueError, OverflowError, RecursionError, TypeError):  # what has no text stays where it is
        return False


def _write(values: list[object]) -> tuple[str, int, list[bytes]] | None:
    """The document's digest, its size, and its parts; None for what JSON has no word for."""
    try:
        text = json.dumps(
            values, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=dict
        ).encode()
    except ValueError:
        return None
    parts = [
        zlib.compress(text[start : start + EVENT_PART_BYTES], 1)
        for start in range(0, len(text), EVENT_PART_BYTES)
    ]
    return find_digest(text), len(text), parts


def _read(parts: Sequence[bytes], apart: EventApart, run: int) -> list[object]:
    text = b"".join(map(zlib.decompress, parts))
    if len(text) != apart.size_bytes:
        raise DamagedError("its event is not there, or not whole", where=f"run {run}")
    return [
        LateMapping(msgspec.json.decode(value, type=dict[str, msgspec.Raw])) for value in _VALUES.decode(text)
    ]


_ENCODER = msgspec.json.Encoder(enc_hook=dict)
_VALUES = msgspec.json.Decoder(list[msgspec.Raw])
