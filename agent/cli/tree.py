"""A run as a live tree on a terminal: jobs, steps, times; the last lines of what runs, and all the end of what failed.

✓ train  12s                      finished jobs are printed once and scroll away
✓ Set up job  0.1s
✗ Train  11s                    a failed step shows the end of its output, groups folded
│ ▸ Run python train.py (4 lines)
│ ValueError: the loss is not a number
⠹ evaluate  3.2s                  the frame below is drawn again and again
✓ Set up job  0.1s
⠹ Evaluate  3.1s
│ batch 17 of 40
"""

import re
import shutil
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from agent.cli.screen import safe_text
from agent.cli.tables import MARKS, coloured, duration, plain
from agent.clock import Clock
from agent.journal.format import Log, Record
from agent.journal.public import PublicRecords

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME_SECONDS = 0.1
_TAIL_BYTES = 16 << 10
_LIVE_LINES = 3
_FAILED_LINES = 40
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")


@dataclass(slots=True)
class _Step:
    """A step as it is shown, with the end of its output."""

    name: str
    depth: int
    began: float
    conclusion: str = ""
    seconds: float | None = None
    tail: deque[bytes] = field(default_factory=deque)
    tail_bytes: int = 0

    def add_output(self, data: bytes) -> None:
        """Keep the last `_TAIL_BYTES` or a little more."""
        self.tail.append(data[-_TAIL_BYTES:])
        self.tail_bytes += len(self.tail[-1])
        while self.tail_bytes - len(self.tail[0]) > _TAIL_BYTES:
            self.tail_bytes -= len(self.tail.popleft())

    def lines(self) -> list[str]:
        """The last lines of output."""
        return b"".join(self.tail).decode("utf-8", "replace").rstrip("\n").split("\n")


@dataclass(slots=True)
class _Job:
    """A job that is running or waiting."""

    began: float
    steps: dict[int, _Step] = field(default_factory=dict)
    waiting: str = ""


class TreeScreen:
    """A `Screen` for terminals. `tick` has to be called now and then, so that the spinner turns."""

    def __init__(self, out: TextIO, clock: Clock) -> None:
        self._out = out
        self._clock = clock
        self._began = clock.monotonic()
        self._drawn_at = 0.0
        self._height = 0  # lines of the frame that is on the screen
        self._jobs: dict[str, _Job] = {}
        self._journals: dict[str, PublicRecords] = {}
        self._annotations: list[str] = []
        self._summaries: list[tuple[str, str]] = []

    def show_record(self, job: str, record: Record) -> None:
        """Take in the next record of a journal."""
        if isinstance(record, Log):
            step = self._job(job).steps.get(record.step)
            if step is not None:
                step.add_output(record.data)
            self.tick()
            return
        for public in self._journals.setdefault(job, PublicRecords(job)).convert(record):
            self.show(public)

    def show(self, record: Mapping[str, Any]) -> None:
        """Take in a public record."""
        job = str(record.get("job", ""))
        match record["kind"]:
            case "log":
                self._add_line(job, record)
            case "step":
                self._note_step(job, record)
            case "annotation":
                self._annotations.append(_annotation(job, record))
            case "summary":
                self._summaries.append((job, str(record["text"])))
            case "waiting":
                self._job(job).waiting = plain(str(record["reason"]))
            case "warning":
                self._print([coloured(f"Warning: {plain(str(record['message']))}", "cancelled", self._out)])
            case "job":
                self._end_job(job, record)
            case "run":
                self._end_run(record)
        self.tick()

    def tick(self) -> None:
        """Draw the frame again when it is time."""
        now = self._clock.monotonic()
        if now - self._drawn_at >= _FRAME_SECONDS:
            self._drawn_at = now
            self._draw(list(self._frame()))

    # What comes in

    def _job(self, key: str) -> _Job:
        return self._jobs.setdefault(key, _Job(self._clock.monotonic()))

    def _note_step(self, key: str, record: Mapping[str, Any]) -> None:
        job = self._job(key)
        job.waiting = ""
        parent = job.steps.get(record["parent"]) if record["parent"] is not None else None
        depth = 1 if parent is None else parent.depth + 1
        name = plain(str(record["name"]))
        step = job.steps.setdefault(record["index"], _Step(name, depth, self._clock.monotonic()))
        if record["state"] == "completed":
            step.conclusion, step.seconds = str(record["outcome"]), record["seconds"]
            if step.conclusion != "failure":
                step.tail.clear()

    def _add_line(self, key: str, record: Mapping[str, Any]) -> None:
        running = [step for step in self._job(key).steps.values() if not step.conclusion]
        if running:
            running[-1].add_output(str(record["text"]).encode() + b"\n")

    def _end_job(self, key: str, record: Mapping[str, Any]) -> None:
        job = self._jobs.pop(key, None) or _Job(self._clock.monotonic())
        conclusion = str(record["conclusion"])
        head = coloured(f"{MARKS[conclusion]} {plain(key)}", conclusion, self._out)
        if job.steps:
            seconds = duration(self._clock.monotonic() - job.began)
            lines = [f"{head}  {coloured(seconds, 'dim', self._out)}"]
        else:
            lines = [f"{head}: {plain(str(record['message']))}" if record.get("message") else head]
        for step in job.steps.values():
            lines += [self._step_line(step), *self._failure(step)]
        self._print(lines)

    def _end_run(self, record: Mapping[str, Any]) -> None:
        lines: list[str] = []
        if self._annotations:
            lines += ["", coloured("Annotations", "bold", self._out), *self._annotations]
        for job, text in self._summaries:
            lines += ["", coloured(f"Summary of {plain(job)}", "bold", self._out)]
            lines += [f"  {safe_text(line)}" for line in text.splitlines()]
        conclusion = str(record["conclusion"])
        seconds = duration(self._clock.monotonic() - self._began)
        lines += [
            "",
            coloured(f"{MARKS[conclusion]} run {conclusion}", conclusion, self._out) + f"  {seconds}",
        ]
        self._jobs.clear()
        self._print(lines)

    # What goes out

    def _frame(self) -> Iterator[str]:
        """The lines for what is not over yet."""
        for key, job in self._jobs.items():
            if not job.steps:
                yield coloured(f"  {plain(key)}  {job.waiting or 'starting'}", "dim", self._out)
                continue
            seconds = duration(self._clock.monotonic() - job.began)
            yield f"{self._spinner()} {plain(key)}  {coloured(seconds, 'dim', self._out)}"
            for step in job.steps.values():
                yield self._step_line(step)
                if not step.conclusion:
                    yield from self._tail(step)

    def _step_line(self, step: _Step) -> str:
        mark = MARKS.get(step.conclusion) or self._spinner()
        seconds = self._clock.monotonic() - step.began if step.seconds is None else step.seconds
        text = coloured(f"{mark} {step.name}", step.conclusion or "running", self._out)
        return f"{'  ' * step.depth}{text}  {coloured(duration(seconds), 'dim', self._out)}"

    def _tail(self, step: _Step) -> Iterator[str]:
        lines = [line for line in _fold(step.lines()) if line]
        for line in lines[-_LIVE_LINES:]:
            yield coloured(f"{'  ' * step.depth}  │ {line}", "dim", self._out)

    def _failure(self, step: _Step) -> Iterator[str]:
        if step.conclusion == "failure":
            for line in _fold(step.lines())[-_FAILED_LINES:]:
                yield f"{'  ' * step.depth}  │ {line}"

    def _spinner(self) -> str:
        turn = int(self._clock.monotonic() / _FRAME_SECONDS)
        return coloured(_SPINNER[turn % len(_SPINNER)], "running", self._out)

    def _print(self, lines: list[str]) -> None:
        """Print lines that stay, above the frame."""
        self._draw([])
        self._out.write("".join(f"{line}\n" for line in lines))
        self._draw(list(self._frame()))

    def _draw(self, lines: list[str]) -> None:
        """Put `lines` where the last frame was; as many of the last ones as fit."""
        size = shutil.get_terminal_size()
        shown = [_cut(line, size.columns - 1) for line in lines[-(size.lines - 1) :]]
        up = f"\x1b[{self._height}A" if self._height else ""
        self._out.write(f"{up}\x1b[J" + "".join(f"{line}\n" for line in shown))
        self._out.flush()
        self._height = len(shown)


def _annotation(job: str, record: Mapping[str, Any]) -> str:
    place = f" {record['file']}:{record['line'] or 1}" if record["file"] else ""
    return f"  {record['level']}: {plain(job)}{plain(place)}: {safe_text(str(record['message']))}"


def _fold(lines: list[str]) -> list[str]:
    """Lines of output for people: a group is one line with its count, other commands are their text."""
    shown: list[str] = []
    group, count = "", 0
    for line in lines:
        command, closed, rest = line.partition("]") if line.startswith("##[") else ("", "", line)
        if command == "##[group" and closed:
            group, count = rest, 0
        elif command == "##[endgroup":
            shown.append(f"▸ {safe_text(group)} ({count} line{'' if count == 1 else 's'})")
            group = ""
        elif group:
            count += 1
        else:
            shown.append(safe_text(rest))
    return [*shown, f"▸ {safe_text(group)}"] if group else shown


def _cut(line: str, width: int) -> str:
    """The beginning of `line` that fits into `width` columns; colours take none."""
    visible = 0
    position = 0
    while position < len(line):
        colour = _COLOUR.match(line, position)
        if colour:
            position = colour.end()
            continue
        if visible == width:
            return line[:position] + "\x1b[0m"
        visible += 1
        position += 1
    return line
