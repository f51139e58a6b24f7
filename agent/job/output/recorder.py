"""The recorder: from a job's output to journal records, masked, in chunks, never one record a line.

`Recorder` is the only writer of the journal while the job runs. What people may read passes through the masker here, and
only here; a record that the disk did not take is an error of the job, never a silent loss.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.errors import AgentError, SpoiledError
from agent.flow.expressions import write_value
from agent.job.output.masking import Masker, MaskStream
from agent.journal.file import JournalWriter
from agent.journal.format import Annotation, Closed, Log, Opened, Record, StepChanged, Summary
from agent.plain_files import open_plain
from agent.spec.outcome import Conclusion, JobResult

_CHUNK_BYTES = 64 << 10
_FLUSH_SECONDS = 0.1
_MAX_NAME = 500
_MAX_MESSAGE = 4096
_RESERVE_BYTES = 64 << 10  # of disk, kept back so that a job on a full disk can still say how it ended
_MAX_OUTPUT_BYTES = 512 << 10  # of a step's outputs that are shown with the step; the job has them whole


class Recorder:
    """Writes the records of one attempt. When the disk refuses one, `failure` says why and `on_failure` is called."""

    def __init__(self, journal: Path, masker: Masker) -> None:
        self._writer = JournalWriter(journal)
        self._reserve = journal.with_name("reserve")
        self._reserved = _reserve_disk(self._reserve)
        self._steps = 0
        self._open: list[StepLog] = []
        self._held: list[Record] = []
        self.masker = masker
        self.failure: AgentError | None = None
        self.on_failure: Callable[[], None] | None = None
        self.describe_use: Callable[[int], tuple[dict[str, object] | None, str]] = lambda _step: (None, "")

    def write(self, *records: Record) -> None:
        """Append `records` as they are. After a failure nothing is taken any more but the records of the end."""
        records, self._held = (*self._held, *records), []
        if self.failure is not None:
            records = tuple(record for record in records if isinstance(record, StepChanged))
        if not records:
            return
        try:
            self._writer.append(*records)
        except AgentError as error:
            if self.failure is None:
                self._fail(error)
                self.write(*records)

    def write_if_possible(self, record: Record) -> None:
        """Append a record that nobody misses: where the disk has no room for it, the job goes on without."""
        if self.failure is None:
            with contextlib.suppress(AgentError):
                self._writer.append(record)

    def hold(self, *records: Record) -> None:
        """Append `records` together with what follows, in the loop's next turn at the latest.

        A step's end and the next one's beginning are one write: nothing happens between them.
        """
        if not self._held:
            asyncio.get_running_loop().call_soon(self.write)
        self._held += records

    def open(self, job: str, lease: int, machine: Mapping[str, object]) -> None:
        """The first record: whose journal this is."""
        self.write(Opened(job, lease, now_ms(), machine))

    def begin_step(self, step_id: str, name: str, parent: int | None = None) -> "StepLog":
        """A step begins: it gets the next number, and a log to write to."""
        log = self.number_step(step_id, name, parent)
        self._open.append(log)
        self.write(StepChanged(log.step, step_id, log.name, "running", now_ms(), parent))
        return log

    def list_open_steps(self) -> list[int]:
        """The numbers of the steps that run."""
        return [log.step for log in self._open]

    def forget(self, log: "StepLog") -> None:
        """The step of `log` has ended."""
        if log in self._open:
            self._open.remove(log)

    def number_step(self, step_id: str, name: str, parent: int | None = None) -> "StepLog":
        """The log of a step that gets a number but is not shown as running: one that is skipped."""
        log = StepLog(self, self._steps, step_id, self.masker.mask_text(name)[:_MAX_NAME], parent)
        self._steps += 1
        return log

    def annotate(self, annotation: Annotation) -> None:
        """Record a notice, warning or error."""
        show = self.masker.mask_text
        self.write(
            Annotation(
                annotation.step,
                annotation.level,
                show(annotation.message)[:_MAX_MESSAGE],
                show(annotation.title)[:_MAX_NAME],
                show(annotation.file)[:_MAX_MESSAGE],
                annotation.line,
                annotation.end_line,
                annotation.column,
                annotation.end_column,
            )
        )

    def mask_value(self, value: object) -> object:
        """A JSON-like value with every text in it masked."""
        if isinstance(value, str):
            return self.masker.mask_text(value)
        if isinstance(value, list | tuple):
            return [self.mask_value(item) for item in value]
        if isinstance(value, Mapping):
            return {self.masker.mask_text(str(key)): self.mask_value(item) for key, item in value.items()}
        return value

    def summarise(self, step: int, text: str) -> None:
        """Record a step's summary, in parts where JSON makes it too long for one record."""
        masked = self.masker.mask_text(text)
        for start in range(0, len(masked), _MAX_OUTPUT_BYTES // 4):
            self.write(Summary(step, masked[start : start + _MAX_OUTPUT_BYTES // 4]))

    def close(self, result: JobResult) -> None:
        """The last record, made durable. Steps that are still open (a bug of ours) end as failed before it."""
        for log in reversed(self._open.copy()):
            self.write(*log.finish(Conclusion.FAILURE, Conclusion.FAILURE))
        self.write()
        self._give_up_reserve()
        self._writer.append(Closed(now_ms(), result))
        self._writer.sync()
        self._writer.close()

    def _give_up_reserve(self) -> None:
        with contextlib.suppress(
            OSError
        ):  # the job may have put something else there, or it is another user's
            self._reserve.unlink()
        if self._reserved is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._reserved, 0)
            os.close(self._reserved)
            self._reserved = None

    def _fail(self, error: AgentError) -> None:
        self.failure = error
        self._give_up_reserve()
        if self.on_failure is not None:
            self.on_failure()


class StepLog:
    """The output of one step on its way into the journal."""

    def __init__(self, recorder: Recorder, step: int, step_id: str, name: str, parent: int | None) -> None:
        self.step = step
        self.name = name
        self._recorder = recorder
        self._id = step_id
        self._parent = parent
        self._started = time.monotonic()
        self._mask = MaskStream(recorder.masker)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_at_start = True  # of a line

    @property
    def recorder(self) -> Recorder:
        """Where the step's other records go."""
        return self._recorder

    def write(self, data: bytes) -> None:
        """Take in raw output. It is in the journal when 64 KiB have come, or a tenth of a second has gone by."""
        if data:
            self._is_at_start = data.endswith(b"\n")
        shown = self._mask.feed(data)
        if not shown:
            return
        self._waiting.append(shown)
        self._waiting_bytes += len(shown)
        if self._waiting_bytes >= _CHUNK_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)

    def say(self, line: str) -> None:
        """Write a line of our own, whatever line the step's output has left unfinished."""
        self.write(self._line_end() + line.encode("utf-8", "replace") + b"\n")

    def flush(self) -> None:
        """Put what waits into the journal."""
        chunks = self._take_chunks()
        if chunks:
            self._recorder.write(*chunks)

    def end(
        self, outcome: Conclusion, conclusion: Conclusion, outputs: Mapping[str, object] | None = None
    ) -> None:
        """The step has ended; nothing is written after this."""
        self._recorder.hold(*self.finish(outcome, conclusion, outputs))

    def finish(
        self, outcome: Conclusion, conclusion: Conclusion, outputs: Mapping[str, object] | None = None
    ) -> list[Record]:
        """The last records of the step."""
        self._recorder.forget(self)
        used, line = self._recorder.describe_use(self.step)
        rest = (
            self._mask.feed(self._line_end()) + self._mask.finish()
        )  # the next step's begins on a line of its own
        rest += f"{line}\n".encode() if line else b""
        if rest:
            self._waiting.append(rest)
        end = StepChanged(
            *(self.step, self._id, self.name, "completed", now_ms(), self._parent),
            outcome=outcome,
            conclusion=conclusion,
            seconds=round(time.monotonic() - self._started, 3),
            outputs=self._show_outputs(outputs) if outputs else {},
            used=used,
        )
        return [*self._take_chunks(), end]

    def _line_end(self) -> bytes:
        """What ends the line that has been begun."""
        return b"" if self._is_at_start else b"\n"

    def _take_chunks(self) -> list[Record]:
        """What waits, as records."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        data = self._waiting[0] if len(self._waiting) == 1 else b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        time_ms = now_ms()
        return [
            Log(self.step, time_ms, data[start : start + _CHUNK_BYTES])
            for start in range(0, len(data), _CHUNK_BYTES)
        ]

    def _show_outputs(self, outputs: Mapping[str, object]) -> dict[str, object]:
        """The outputs that fit into a record, masked; those that are JSON keep their kinds."""
        room = _MAX_OUTPUT_BYTES // 4
        shown: dict[str, object] = {}
        for name, value in outputs.items():
            room -= len(name) + len(write_value(value))
            if room < 0:
                break
            shown[self._recorder.masker.mask_text(name)] = self._recorder.mask_value(value)
        return shown


def _reserve_disk(path: Path) -> int | None:
    """The file that holds the place, open: whoever gives it up may not be who made it. None where the disk has no room."""
    with contextlib.suppress(OSError, SpoiledError):
        file = open_plain(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            os.posix_fallocate(file, 0, _RESERVE_BYTES)
        except OSError:
            os.close(file)
            raise
        return file
    return None


def now_ms() -> int:
    """The wall's time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
