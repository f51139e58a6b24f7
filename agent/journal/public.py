"""Journal records as the public JSON of `agent flow run --format json` and of the server's live events.

The shapes are promises (docs/cli.md, *Records*). Chunks become lines here: a line is one `log` record, without its
newline, however the bytes were cut when they were written.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from agent.journal.format import Annotation, Closed, Log, Opened, Record, StepChanged, Summary
from agent.spec import codec

PublicRecord = dict[str, Any]


class PublicRecords:
    """One job's journal, record by record, as public JSON. Keeps the unfinished last line of each step."""

    def __init__(self, job: str, step_ids: Mapping[int, str] | None = None) -> None:
        """`job` is the job's key in its run (`train`, or `train (a100, 2)`).

        Who begins in the middle of a journal says what the steps before it are called.
        """
        self._job = job
        self._ids: dict[int, str] = dict(step_ids or {})
        self._rest: dict[int, tuple[int, bytes]] = {}

    def convert(self, record: Record) -> Iterator[PublicRecord]:
        """The public records that `record` gives, in order."""
        match record:
            case Log():
                yield from self._lines(record)
            case StepChanged():
                self._ids[record.step] = record.id
                if record.state == "completed":
                    yield from self._flush(record.step)
                yield self._about(record.step, "step", _step(record))
            case Annotation():
                yield self._about(record.step, "annotation", _without_step(record))
            case Summary():
                yield self._about(record.step, "summary", {"text": record.text})
            case Closed():
                for step in list(self._rest):
                    yield from self._flush(step)
                yield {
                    "kind": "job",
                    "job": self._job,
                    **codec.to_json(record.result),
                    "time": record.time_ms / 1000,
                }
            case Opened():
                opened = {"kind": "machine", "job": self._job, "time": record.time_ms / 1000}
                yield {**opened, "machine": record.machine}

    def _lines(self, record: Log) -> Iterator[PublicRecord]:
        _time, rest = self._rest.pop(record.step, (0, b""))
        *lines, rest = (rest + record.data).split(b"\n")
        if rest:
            self._rest[record.step] = (record.time_ms, rest)
        for line in lines:
            yield self._log(record.step, record.time_ms, line)

    def _flush(self, step: int) -> Iterator[PublicRecord]:
        time_ms, rest = self._rest.pop(step, (0, b""))
        if rest:
            yield self._log(step, time_ms, rest)

    def _log(self, step: int, time_ms: int, line: bytes) -> PublicRecord:
        text = line.removesuffix(b"\r").decode("utf-8", "replace")
        return self._about(step, "log", {"time": time_ms / 1000, "text": text})

    def _about(self, step: int, kind: str, fields: PublicRecord) -> PublicRecord:
        return {"kind": kind, "job": self._job, "step": self._ids.get(step, str(step)), **fields}


def _step(record: StepChanged) -> PublicRecord:
    return {
        "index": record.step,
        "name": record.name,
        "state": record.state,
        "outcome": record.outcome,
        "conclusion": record.conclusion,
        "seconds": record.seconds,
        "outputs": record.outputs,
        "parent": record.parent,
        "time": record.time_ms / 1000,
    }


def _without_step(record: Annotation) -> PublicRecord:
    fields: PublicRecord = codec.to_json(record)
    del fields["step"]
    return fields
