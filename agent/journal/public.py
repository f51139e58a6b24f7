"""Journal records as the public JSON of `agent flow run --format json` and of the server's live events.

The shapes are promises (docs/cli.md, *Records*). Chunks become lines here: a line is one `log` record in its last state
(`agent.journal.lines`), without its newline, however the bytes were cut when they were written.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from agent import codec
from agent.journal.format import (
    Annotation,
    AppChanged,
    Closed,
    FormAsked,
    Log,
    Opened,
    Record,
    StepChanged,
    Summary,
)
from agent.journal.lines import Lines
from agent.journal.load import Load
from agent.journal.samples import JobSample

PublicRecord = dict[str, Any]


class PublicRecords:
    """One job's journal, record by record, as public JSON. Keeps the unfinished last line of each step."""

    def __init__(self, job: str, step_ids: Mapping[int, str] | None = None) -> None:
        """`job` is the job's key in its run (`train`, or `train (a100, 2)`).

        Who begins in the middle of a journal says what the steps before it are called.
        """
        self._job = job
        self._ids: dict[int, str] = dict(step_ids or {})
        self._lines: dict[int, Lines] = {}
        self._times_ms: dict[int, int] = {}  # of each step's last output
        self._moved: set[int] = set()  # the steps that have printed since their unfinished line was told
        self._load = Load()
        self._told: set[int] = set()  # those whose unfinished line has been told, and is not over

    def convert(self, record: Record) -> Iterator[PublicRecord]:
        """The public records that `record` gives, in order."""
        match record:
            case Log():
                yield from self._output(record)
            case StepChanged():
                yield from self._change_step(record)
            case Annotation():
                yield self._about(record.step, "annotation", _without_step(record))
            case Summary():
                yield self._about(record.step, "summary", {"text": record.text})
            case AppChanged():
                app = {"name": record.name, "port": record.port, "state": record.state}
                more = {"message": record.message, "url": record.url, "time": record.time_ms / 1000}
                yield {"kind": "app", "job": self._job, **app, **more}
            case FormAsked():
                asked = {"title": record.title, "form": record.form, "time": record.time_ms / 1000}
                yield self._about(record.step, "form", {"index": record.step, **asked})
            case JobSample():
                self._load.add(record)  # who watches gets the newest: `progress`
            case Closed():
                yield from self._close(record)
            case Opened():
                opened = {"kind": "machine", "job": self._job, "time": record.time_ms / 1000}
                yield {**opened, "machine": record.machine}

    def progress(self) -> Iterator[PublicRecord]:
        """What stands on lines that have not ended, of the steps that have printed since this was last asked, and the newest sample.

        Only for who watches now: the whole line, in its last state, comes as a `log` record, and samples are kept as a chart.
        """
        if (sample := self._load.take_news()) is not None:
            yield {"kind": "sample", "job": self._job, **sample}
        for step in sorted(self._moved):
            text = self._lines[step].pending()
            if text or step in self._told:
                self._told.add(step)
                yield self._line("progress", step, text)
        self._moved.clear()

    def _change_step(self, record: StepChanged) -> Iterator[PublicRecord]:
        self._ids[record.step] = record.id
        if record.state == "completed":
            yield from self._flush(record.step)
        yield self._about(record.step, "step", _step(record))

    def _close(self, record: Closed) -> Iterator[PublicRecord]:
        for step in sorted(self._lines):  # not as they began: who comes in the middle has not seen that
            yield from self._flush(step)
        result = codec.to_json(record.result)
        yield {"kind": "job", "job": self._job, **result, "time": record.time_ms / 1000}

    def feed(self, record: Log) -> list[bytes]:
        """The lines that end in `record`, as `convert` gives them one by one: for who writes many at a time."""
        step = record.step
        self._times_ms[step] = record.time_ms
        self._moved.add(step)
        lines = self._lines.setdefault(step, Lines()).feed(record.data)
        if lines:
            self._told.discard(step)
        return lines

    def head(self, record: Log) -> PublicRecord:
        """What all lines have that end in `record`, but their `text`."""
        return self._about(record.step, "log", {"time": record.time_ms / 1000})

    def _output(self, record: Log) -> Iterator[PublicRecord]:
        for line in self.feed(record):
            yield self._line("log", record.step, line)

    def _flush(self, step: int) -> Iterator[PublicRecord]:
        self._moved.discard(step)
        lines = self._lines.pop(step, None)
        for line in lines.finish() if lines else ():
            yield self._line("log", step, line)

    def _line(self, kind: str, step: int, line: bytes) -> PublicRecord:
        text = line.decode("utf-8", "replace")
        return self._about(step, kind, {"time": self._times_ms[step] / 1000, "text": text})

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
        "used": record.used,
        "parent": record.parent,
        "time": record.time_ms / 1000,
    }


def _without_step(record: Annotation) -> PublicRecord:
    fields: PublicRecord = codec.to_json(record)
    del fields["step"]
    return fields
