"""Work that is stages: a graph through which records stream, as plain data.

docs/decisions/019-stages.md has the canonical actions and what their `config` may say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

TRIGGERS = frozenset(
    {
        "manual",
        "receive",
        "udp",
        "cron",
        "kinesis",
        "kinesis_consumer",
        "postgresql",
        "nats",
        "redis",
    }
)  # canonical actions that bring records in
ALONE = frozenset({"udp", "cron", "postgresql"})  # triggers that no two jobs may have at the same time

PROTOCOL = 5  # the first version (docs/protocol.md) whose agents know work that is stages

_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage. `config` has the secrets' templates in it, `${secret.NAME}`, and is otherwise complete and checked."""

    name: str  # unique in its flow
    action: str  # a canonical name; of `uses` the reference stands in `uses`
    config: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    out: tuple[str, ...] = ()  # names of the stages that get what it gives; each gets all of it
    uses: str = ""  # the action that it is, of `uses`
    place: str = ""  # file:line:column, for messages

    @property
    def is_trigger(self) -> bool:
        """Whether it brings records in."""
        return self.action in TRIGGERS


@dataclass(frozen=True, slots=True)
class StagesWork:
    """Work that is stages. They are in an order in which each comes after those that it gets its records from."""

    KIND: ClassVar[str] = "stages"
    stages: tuple[StageSpec, ...]
    flow: str = ""  # the flow's name: with the project, whose bookmarks and queues these are

    @staticmethod
    def to_form(fields: dict[str, object]) -> dict[str, object]:
        """With its kind, by which it is told from work of another form."""
        return {"kind": StagesWork.KIND, **fields}


def receive_path(written: str) -> str:
    """The path of a `receive` trigger as all know it: `/incoming/orders`, however many slashes are written around it."""
    return "/" + "/".join(part for part in written.split("/") if part)


@dataclass(frozen=True, slots=True)
class StageRetry:
    """How often, and when, a stage tries a record again that it failed at. Seconds; `jitter` is the share that is drawn."""

    attempts: int = 5000  # in all
    first: float = 0.5
    factor: float = 2.0
    most: float = 60.0
    jitter: float = 0.5

    def wait(self, attempt: int, drawn: float) -> float:
        """Seconds to wait after the failed attempt of that number (1, 2, ...); `drawn` is from 0 to 1."""
        full = min(self.most, self.first * self.factor ** min(attempt - 1, 64))
        return full * (1 - self.jitter * drawn)
