"""Records as people look them up: the last ones, and all that failed. Segments on the disk, bounded, and sent to the server.

    FOLDER/records/1.jsonl, 2.jsonl, ...     the last ones, those of the same age in a file; the oldest file goes
    FOLDER/failed/1.jsonl, ...               those that ended as dead letters, the same way

One in many is watched where many come: a few a second are enough to show how a flow fares, and each costs what a batch does.
"""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.job.stages.delivery.batches import DeadLetter
from agent.job.stages.delivery.settling import Origin
from agent.job.stages.delivery.states import Passage, RecordState
from agent.job.stages.json_lines import dump
from agent.job.stages.kept.letters import Mask

WATCHED_PER_SECOND = 20
_SEGMENT_BYTES = 1 << 20
_MOST_SEGMENTS = 8
_MOST_RECORD_BYTES = 64 << 10  # of a record that is kept; of a longer one its beginning, as text

Wall = Callable[[float], float]


class RecordWatch:
    """Which batches are watched: so many a second at most."""

    def __init__(self) -> None:
        self._second = 0.0
        self._count = 0

    def wants(self, now: float) -> bool:
        """Whether the next one is."""
        if now - self._second >= 1.0:
            self._second, self._count = now, 0
        self._count += 1
        return self._count <= WATCHED_PER_SECOND


class Segments:
    """Lines in files of a bounded size and number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 1
        self._size = 0

    def add(self, data: bytes) -> None:
        """Append lines. What the disk does not take is not kept: the flow goes on."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / f"{self._number}.jsonl").open("ab") as stream:
                stream.write(data)
            self._size += len(data)
            if self._size >= _SEGMENT_BYTES:
                self._number, self._size = self._number + 1, 0
                (self._folder / f"{self._number - _MOST_SEGMENTS}.jsonl").unlink()


def describe_settled(origin: Origin, now: float, wall: Wall, mask: Mask) -> dict[str, object]:
    """A watched record all of which has ended."""
    passages = origin.passages or []
    is_dead = any(passage.state is RecordState.DEAD for passage in passages)
    return _describe(
        key=f"{origin.lane.trigger}/{origin.number}",
        origin=(origin.lane.trigger, origin.lane.name, origin.at),
        state=RecordState.DEAD if is_dead else RecordState.DONE,
        times=(wall(origin.began), now - origin.began),
        passages=passages,
        record=mask(origin.sample),
        error=next((passage.error for passage in passages if passage.error), ""),
        wall=wall,
    )


def describe_dead(letter: DeadLetter, number: int, wall: Wall, mask: Mask) -> dict[str, object]:
    """A record that ended as a dead letter, with the stages that it was at."""
    last = Passage(letter.stage, RecordState.DEAD, letter.ended, 0.0, letter.attempts, letter.cause)
    return _describe(
        key=f"{letter.trigger}/dead-{number}",
        origin=(letter.trigger, letter.lane, letter.at),
        state=RecordState.DEAD,
        times=(wall(letter.began), letter.ended - letter.began),
        passages=[*letter.path, last],
        record=mask(letter.record),
        error=letter.cause,
        wall=wall,
    )


def _describe(
    key: str,
    origin: tuple[str, str, object],
    state: RecordState,
    times: tuple[float, float],
    passages: Sequence[Passage],
    record: object,
    error: str,
    wall: Wall,
) -> dict[str, object]:
    trigger, lane, at = origin
    began, seconds = times
    return {
        "key": key,
        "trigger": trigger,
        "lane": lane,
        "at": at,
        "state": state.value,
        "began": round(began, 3),
        "seconds": round(seconds, 6),
        "stages": [
            {
                "name": passage.stage,
                "state": passage.state.value,
                "began": round(wall(passage.began), 3),
                "seconds": round(passage.seconds, 6),
                "attempts": passage.attempts,
                "error": passage.error,
            }
            for passage in passages
        ],
        "record": _shorten(record),
        "error": error,
    }


def _shorten(record: object) -> object:
    text = dump(record)
    return record if len(text) <= _MOST_RECORD_BYTES else text[:_MOST_RECORD_BYTES].decode("utf-8", "replace")
