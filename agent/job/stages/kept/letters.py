"""Dead letters as lines of JSON: the cause, the stage, the attempts, and the record."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from agent.errors import AgentError
from agent.job.stages.delivery.batches import DeadLetter
from agent.job.stages.json_lines import dump_lines

_MOST_TAIL_BYTES = 1 << 25  # of a torn line that is cut off

Mask = Callable[[object], object]


class LetterFile:
    """A file of dead letters, which is there once there is one."""

    def __init__(self, file: Path, mask: Mask, wall: Callable[[float], float]) -> None:
        self.file = file
        self.count = 0
        self._mask = mask
        self._wall = wall  # from the delivery's time to the day's

    def add(self, letters: Sequence[DeadLetter]) -> None:
        """Append `letters`; they are on the disk when this returns. Raises AgentError."""
        data = dump_lines([self._mask(describe_letter(letter, self._wall)) for letter in letters])
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("ab") as stream:
                if not self.count:
                    _cut_torn_tail(self.file)
                stream.write(data)
                stream.flush()
                os.fdatasync(stream.fileno())
        except OSError as error:
            raise AgentError(
                f"dead letters can't be kept: {error.strerror}", where=str(self.file), hint="make room there"
            ) from None
        self.count += len(letters)


def _cut_torn_tail(file: Path) -> None:
    """Of a line that a killed supervisor could not end nothing was settled: it comes again."""
    with file.open("r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        begin = max(0, size - _MOST_TAIL_BYTES)
        stream.seek(begin)
        whole = stream.read().rfind(b"\n") + 1
        if begin + whole < size and (whole or not begin):
            stream.truncate(begin + whole)


def describe_letter(letter: DeadLetter, wall: Callable[[float], float]) -> dict[str, object]:
    """A dead letter as people read it."""
    return {
        "stage": letter.stage,
        "cause": letter.cause,
        "attempts": letter.attempts,
        "trigger": letter.trigger,
        "lane": letter.lane,
        "at": letter.at,
        "came": write_time(wall(letter.began)),
        "died": write_time(wall(letter.ended)),
        "record": letter.record,
    }


def write_time(seconds: float) -> str:
    """The time of the day's clock as text."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
