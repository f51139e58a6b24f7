"""A run as a live tree on a terminal: jobs, steps, times, and the last lines of what each step printed.

✓ train  12s                      finished jobs are printed once and scroll away
  ✓ Set up job  0.1s
  ✓ Load data  0.3s
    │ 60000 images                what a step printed stays: the end of it, without what ran it
  ✗ Train  11s                    a failed step shows more of its end, groups folded
    │ ▸ Run python train.py (4 lines)
    │ ValueError: the loss is not a number
⠹ evaluate  3.2s                  the frame below is drawn again and again
  ✓ Set up job  0.1s
  ⠹ Evaluate  3.1s
    │ batch 17 of 40              also a line that is written over and over, as it stands now
"""

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from agent.cli.terminal.output import KEPT_LINES, StepOutput, close_colours, cut_line, safe_text
from agent.cli.terminal.screen import tell
from agent.cli.terminal.stages import draw_stages
from agent.cli.terminal.tables import MARKS, coloured, duration, plain, wants_colour
from agent.clock import Clock
from agent.journal.format import Log, Record
from agent.journal.lines import Lines
from agent.journal.public import PublicRecords

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME_SECONDS = 0.1
_LIVE_LINES = 3
_LEAST_COLUMNS = 20
_SUCCESS_LINES = 10
# Steps of ours around those of the flow: what they print is of interest when they fail.
_HOUSEKEEPING = (
    "__set_up",
    "__image",
    "__containers",
    "__stop_containers",
    "__complete",
    "__hook_",
    "__pre_",
    "__post_",
)


@dataclass(slots=True)
class _Step:
    """A step as it is shown, with the end of its output."""

    id: str
    name: str
    depth: int
    began: float
    output: StepOutput
    lines: Lines = field(default_factory=Lines)  # of a journal of this machine
    conclusion: str = ""
    seconds: float | None = None

    def add_output(self, data: bytes) -> None:
        """The next bytes that it has printed."""
        for line in self.lines.feed(data):
            self.output.add(line.decode("utf-8", "replace"))

    def moving(self) -> list[str]:
        """The last lines, of a step that runs."""
        if pending := self.lines.pending():
            self.output.set_pending(pending.decode("utf-8", "replace"))
        return self.output.moving(_LIVE_LINES)

    def end(self, conclusion: str, seconds: float) -> None:
        """It is over."""
        for line in self.lines.finish():
            self.output.add(line.decode("utf-8", "replace"))
        self.conclusion, self.seconds = conclusion, seconds

    def kept(self) -> tuple[int, list[str]]:
        """The lines that stay, of a step that is over, and how many came before them."""
        if self.conclusion == "failure":
            return self.output.kept(KEPT_LINES, with_header=True)
        if self.id.startswith(_HOUSEKEEPING):
            return 0, []
        return self.output.kept(_SUCCESS_LINES, with_header=False)


@dataclass(slots=True)
class _Job:
    """A job that is running or waiting."""

    began: float
    opened_at: float | None = None  # by the machine's clock, as its end
    steps: dict[int, _Step] = field(default_factory=dict)
    waiting: str = ""
    stages: list[str] = field(default_factory=list)  # lines about them, of a job whose work they are

    def find_step(self, step_id: str) -> _Step | None:
        """The step of this id that began last."""
        return next((step for step in reversed(self.steps.values()) if step.id == step_id), None)


class TreeScreen:
    """A `Screen` for terminals. `tick` has to be called now and then, so that the spinner turns.

    `whole` is how to see all that was printed, where only the end is shown.
    """

    def __init__(self, out: TextIO, clock: Clock, whole: str = "") -> None:
        self._out = out
        self._whole = whole
        self._colours = wants_colour(out)
        self._clock = clock
        self._began = clock.monotonic()
        self._drawn_at = 0.0
        self._height = 0  # lines of the frame that is on the screen
        self._prompt = ""  # behind which somebody types: no frame is drawn meanwhile
        self._jobs: dict[str, _Job] = {}
        self._journals: dict[str, PublicRecords] = {}
        self._attempts: dict[str, int] = {}  # of jobs that are tried again
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
            case "log" | "progress":
                self._add_line(job, record)
            case "machine":
                opened = self._job(job)
                opened.opened_at, opened.began = record["time"], self._began_at(record["time"])
            case "step":
                self._note_step(job, record)
            case "annotation":
                self._annotations.append(_annotation(job, record))
            case "summary":
                self._summaries.append((job, str(record["text"])))
            case "waiting" | "attempt" | "stages":
                self._note(job, record)
            case "warning" | "kept" | "app" | "question" | "answered" | "abandoned":
                self._tell(record)
            case "job":
                self._end_job(job, record)
            case "run":
                self._end_run(record)
            case _:
                pass  # a newer server's record
        self.tick()

    def tick(self) -> None:
        """Draw the frame again when it is time."""
        now = self._clock.monotonic()
        if self._prompt:  # what is typed stands behind it
            return
        if now - self._drawn_at >= _FRAME_SECONDS:
            self._drawn_at = now
            self._draw(list(self._frame()))

    # What comes in

    def _job(self, key: str) -> _Job:
        return self._jobs.setdefault(key, _Job(self._clock.monotonic()))

    def _began_at(self, time: float) -> float:
        """When that was by our own hand: who comes late counts from the beginning, not from when he came."""
        return self._clock.monotonic() - max(0.0, self._clock.now() - time)

    def _note(self, key: str, record: Mapping[str, Any]) -> None:
        if record["kind"] == "attempt":
            self._attempts[key] = record["attempt"]
        elif record["kind"] == "stages":
            self._job(key).stages = draw_stages(record["stages"])
        else:
            self._job(key).waiting = plain(str(record["reason"]))

    def _note_step(self, key: str, record: Mapping[str, Any]) -> None:
        job = self._job(key)
        job.waiting = ""
        parent = job.steps.get(record["parent"]) if record["parent"] is not None else None
        depth = 1 if parent is None else parent.depth + 1
        name = plain(str(record["name"]))
        output = StepOutput(colours=self._colours)
        new = _Step(str(record["step"]), name, depth, self._began_at(record["time"]), output)
        step = job.steps.setdefault(record["index"], new)
        if record["state"] == "completed":
            step.end(str(record["outcome"]), record["seconds"])

    def _tell(self, record: Mapping[str, Any]) -> None:
        """A line that stays. Of apps only those have one that are ready on this machine. A prompt stays until it is answered."""
        if record["kind"] == "abandoned":
            self._jobs.clear()
        if record["kind"] in ("answered", "abandoned"):
            self._prompt = ""
            self._out.write("\r\x1b[K")  # of a question that nobody has answered; ^C, which terminals show
            self._print([])
        elif record.get("is_prompt"):
            self._clear_frame()
            self._prompt = tell(record, self._out)
            self._out.write(f"\r\x1b[K{self._prompt}")
            self._out.flush()
        elif record["kind"] == "question" and self._prompt:  # the line that was typed has ended the prompt's
            self._out.write(f"{tell(record, self._out)}\n")
        elif record["kind"] != "app" or (record["state"] == "ready" and record.get("url")):
            self._print([tell(record, self._out)])

    def _add_line(self, key: str, record: Mapping[str, Any]) -> None:
        step = self._job(key).find_step(str(record["step"]))
        if step is None:
            return
        if record["kind"] == "progress":
            step.output.set_pending(str(record["text"]))
        else:
            step.output.add(str(record["text"]))

    def _end_job(self, key: str, record: Mapping[str, Any]) -> None:
        job = self._jobs.pop(key, None) or _Job(self._clock.monotonic())
        conclusion = str(record["conclusion"])
        head = coloured(f"{MARKS[conclusion]} {self._name(key)}", conclusion, self._out)
        message = plain(str(record.get("message") or ""))
        if job.steps:
            seconds = self._clock.monotonic() - job.began
            if job.opened_at is not None and "time" in record:
                seconds = record["time"] - job.opened_at
            lines = [f"{head}  {coloured(duration(seconds), 'dim', self._out)}"]
        else:
            lines = [f"{head}: {message}" if message else head]
        for step in job.steps.values():
            lines += [self._step_line(step), *self._kept(step)]
        if message and conclusion != "success" and not any(message in line for line in lines):
            lines.append(coloured(f"  {message}", conclusion, self._out))
        self._print(lines)

    def _name(self, key: str) -> str:
        """The job's, with the number of its attempt where it is not the first."""
        attempt = self._attempts.get(key, 1)
        return plain(key) + (f" (attempt {attempt})" if attempt > 1 else "")

    def _end_run(self, record: Mapping[str, Any]) -> None:
        lines: list[str] = []
        if self._annotations:
            lines += ["", coloured("Annotations", "bold", self._out), *self._annotations]
        for job, text in self._summaries:
            lines += ["", coloured(f"Summary of {plain(job)}", "bold", self._out)]
            lines += [
                f"  {close_colours(safe_text(line, colours=self._colours))}" for line in text.splitlines()
            ]
        conclusion = str(record["conclusion"])
        took = record.get("seconds")
        seconds = duration(self._clock.monotonic() - self._began if took is None else took)
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
                for line in _wrap(f"{plain(key)}  {job.waiting or 'starting'}"):
                    yield coloured(line, "dim", self._out)
                continue
            seconds = duration(self._clock.monotonic() - job.began)
            yield f"{self._spinner()} {self._name(key)}  {coloured(seconds, 'dim', self._out)}"
            if job.stages:  # they are its steps: their figures say more
                yield from (f"  {line}" for line in job.stages)
                continue
            for step in job.steps.values():
                yield self._step_line(step)
                if not step.conclusion:
                    yield from self._tail(step)
                elif len(self._jobs) == 1:  # of several, each would push the others off the screen
                    yield from self._kept(step)

    def _step_line(self, step: _Step) -> str:
        mark = MARKS.get(step.conclusion) or self._spinner()
        seconds = self._clock.monotonic() - step.began if step.seconds is None else step.seconds
        text = coloured(f"{mark} {step.name}", step.conclusion or "running", self._out)
        return f"{'  ' * step.depth}{text}  {coloured(duration(seconds), 'dim', self._out)}"

    def _tail(self, step: _Step) -> Iterator[str]:
        for line in step.moving():
            yield self._output_line(step, line)

    def _kept(self, step: _Step) -> Iterator[str]:
        more, lines = step.kept()
        if more:
            text = f"… {more} line{'' if more == 1 else 's'} above" + (
                f": {self._whole}" if self._whole else ""
            )
            yield self._output_line(step, coloured(text, "dim", self._out))
        for line in lines:
            yield self._output_line(step, line)

    def _output_line(self, step: _Step, line: str) -> str:
        return f"{'  ' * step.depth}  {coloured('│', 'dim', self._out)} {line}"

    def _spinner(self) -> str:
        turn = int(self._clock.monotonic() / _FRAME_SECONDS)
        return coloured(_SPINNER[turn % len(_SPINNER)], "running", self._out)

    def _print(self, lines: list[str]) -> None:
        """Print lines that stay, above the frame or the prompt."""
        self._clear_frame()
        text = "".join(f"{line}\n" for line in lines)
        if self._prompt:
            self._out.write(f"\r\x1b[K{text}{self._prompt}")
            self._out.flush()
            return
        self._out.write(text)
        self._draw(list(self._frame()))

    def _clear_frame(self) -> None:
        """Line by line: a screen that is cleared at once goes into the history of some terminals."""
        if self._height:
            self._out.write(f"\x1b[{self._height}A" + "\x1b[K\n" * self._height + f"\x1b[{self._height}A")
            self._height = 0

    def _draw(self, lines: list[str]) -> None:
        """Put `lines` where the last frame was; as many of the last ones as fit."""
        size = shutil.get_terminal_size()
        shown = [cut_line(line, size.columns - 1) for line in lines[-(size.lines - 1) :]]
        up = f"\x1b[{self._height}A" if self._height else ""
        down = "\x1b[J" if len(shown) < self._height else ""
        self._out.write(up + "".join(f"{line}\x1b[K\n" for line in shown) + down)
        self._out.flush()
        self._height = len(shown)


def _wrap(text: str) -> list[str]:
    """A sentence in lines that fit the terminal: why a job waits may end with the command that helps."""
    width = max(shutil.get_terminal_size().columns - 1, _LEAST_COLUMNS)
    wrapper = textwrap.TextWrapper(
        width,
        initial_indent="  ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.wrap(text)


def _annotation(job: str, record: Mapping[str, Any]) -> str:
    place = f" {record['file']}:{record['line'] or 1}" if record["file"] else ""
    title = f"{plain(str(record['title']))}: " if record.get("title") else ""
    message = safe_text(str(record["message"]), colours=False)
    return f"  {record['level']}: {plain(job)}{plain(place)}: {title}{message}"
