"""Runs on the terminal: as lines for people, or as JSON for programs.

Journals of this machine come record by record (`show_record`), the server's and everything else as public records
(`show`). Output is by far the most of it: what has nothing special in it goes through whole, not line by line.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from agent.cli.terminal.output import close_colours, cut_line, safe_text, split_command
from agent.cli.terminal.stages import describe_stages
from agent.cli.terminal.tables import MARKS, coloured, duration, json_text, plain, wants_colour
from agent.journal.format import Log, Record
from agent.journal.lines import Lines
from agent.journal.public import PublicRecords

_MARKERS = {
    "error": ("Error: ", "failure"),
    "warning": ("Warning: ", "cancelled"),
    "notice": ("Notice: ", "running"),
}
_STAGES_SECONDS = 30.0  # between two lines about the stages of a job
_HARMLESS = bytes([*b"\t\n", *range(0x20, 0x7F)])


class Screen(Protocol):
    """Where a run is shown. Records come in the order of their jobs' journals."""

    def show(self, record: Mapping[str, Any]) -> None:
        """Show one public record."""
        ...

    def show_record(self, job: str, record: Record) -> None:
        """Show the next record of the journal of `job` (its key)."""
        ...

    def tick(self) -> None:
        """Time has passed; called several times a second while a run goes on."""
        ...


class JsonScreen:
    """One record a line, as contract for programs (docs/cli.md, *Records*)."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._journals: dict[str, PublicRecords] = {}

    def show(self, record: Mapping[str, Any]) -> None:
        """Write the record at once: a program follows. What only moves is no record."""
        if record["kind"] in ("progress", "sample", "answered", "abandoned"):
            return
        if record["kind"] == "question":  # is for who sits there, and not for the program that reads this
            sys.stderr.write(f"{plain(str(record['text']))}\n")
            return
        self._out.write(json_text(record, self._out) + "\n")
        self._out.flush()

    def show_record(self, job: str, record: Record) -> None:
        """Write what the record is for the public."""
        for public in self._journals.setdefault(job, PublicRecords(job)).convert(record):
            self.show(public)

    def tick(self) -> None:
        """Nothing moves."""


def can_move(out: TextIO) -> bool:
    """Whether `out` is a terminal that can write over what stands on it."""
    return out.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def tell(record: Mapping[str, Any], out: TextIO) -> str:
    """The line of a warning, of what a run kept, of an app that is ready, or of a question to who sits there."""
    if record["kind"] == "question":
        return plain(str(record["text"]))
    if record["kind"] == "kept":
        return f"kept: {plain(str(record['path']))}"
    if record["kind"] == "app":
        return f"The app '{plain(str(record['name']))}' is ready: {plain(str(record['url']))}"
    return coloured(f"Warning: {plain(str(record['message']))}", "cancelled", out)


class TextScreen:
    """Lines for people: each begins with its job when there is more than one.

    On a terminal, the line that is being printed (a progress bar) stands below and moves; elsewhere a line is written
    when it is whole.
    """

    def __init__(self, out: TextIO, *, shows_jobs: bool = True) -> None:
        self._out = out
        self._shows_jobs = shows_jobs
        self._colours = wants_colour(out)
        self._can_move = can_move(out)
        self._moving: str | None = None  # the job whose unfinished line stands on the terminal
        self._summaries: list[tuple[str, str]] = []
        self._journals: dict[str, PublicRecords] = {}
        self._lines: dict[tuple[str, int], Lines] = {}
        self._attempts: dict[str, int] = {}  # of jobs that are tried again
        self._stages_at: dict[str, float] = {}  # when their figures were shown

    def show(self, record: Mapping[str, Any]) -> None:
        """Write the record's lines; what has no line for people is left out."""
        job = str(record.get("job", ""))
        match record["kind"]:
            case "log":
                self._line(job, self._log_line(str(record["text"])))
            case "progress":
                self._move(job, str(record["text"]))
            case "step":
                self._show_step(job, record)
            case "job":
                self._show_job(job, record)
            case "run":
                self._show_run(record)
            case "summary":
                self._summaries.append((job, str(record["text"])))
            case "waiting" | "annotation":
                self._line(job, self._remark(record))
            case "attempt" | "stages":
                self._note(job, record)
            case "warning" | "kept" | "question":
                self._line(job, tell(record, self._out))
            case _:
                pass
        self._out.flush()

    def show_record(self, job: str, record: Record) -> None:
        """Write the record's lines."""
        if isinstance(record, Log):
            self.show_output(job, record.step, record.data)
            return
        for public in self._journals.setdefault(job, PublicRecords(job)).convert(record):
            if public["kind"] == "job" or public.get("state") == "completed":
                self.end_output(job, public.get("index"))
            self.show(public)

    def show_output(self, job: str, step: int, data: bytes) -> None:
        """Write the lines that end in the next bytes of a step's output."""
        lines = self._lines.setdefault((job, step), Lines())
        ended = lines.feed(data)
        whole = b"\n".join(ended)
        if whole.translate(None, _HARMLESS) or b"##[" in whole:
            for line in ended:
                self._line(job, self._log_line(line.decode("utf-8", "replace")))
        elif ended:
            begin = f"{self._prefix(job)}  "
            self._write(f"{begin}{whole.decode('ascii').replace(chr(10), chr(10) + begin)}\n")
        if self._can_move:
            self._move(job, lines.pending().decode("utf-8", "replace"))
        self._out.flush()

    def end_output(self, job: str, step: int | None = None) -> None:
        """Write the last line of a step that ends without a newline; those of all steps when the job ends."""
        for key in [key for key in self._lines if key[0] == job and step in (None, key[1])]:
            for line in self._lines.pop(key).finish():
                self._line(job, self._log_line(line.decode("utf-8", "replace")))

    def tick(self) -> None:
        """Nothing moves by itself."""

    def _note(self, job: str, record: Mapping[str, Any]) -> None:
        """Of stages a line now and then: who follows a flow for days does not read one a second."""
        if record["kind"] == "attempt":
            self._attempts[job] = record["attempt"]
        elif record["time"] - self._stages_at.get(job, float("-inf")) >= _STAGES_SECONDS:
            self._stages_at[job] = record["time"]
            self._line(job, coloured(describe_stages(record["stages"]), "dim", self._out))

    def _show_step(self, job: str, record: Mapping[str, Any]) -> None:
        indent = "  " if record["parent"] is not None else ""
        name = plain(str(record["name"]))
        if record["state"] != "completed":
            self._line(job, indent + coloured(f"● {name}", "bold", self._out))
            return
        conclusion = str(record["conclusion"])
        tolerated = " (failed, continue-on-error)" if record["outcome"] != conclusion else ""
        mark = coloured(f"{MARKS[conclusion]} {name}{tolerated}", conclusion, self._out)
        self._line(job, f"{indent}{mark}  {coloured(duration(record['seconds']), 'dim', self._out)}")

    def _show_job(self, job: str, record: Mapping[str, Any]) -> None:
        conclusion = str(record["conclusion"])
        message = f": {plain(str(record['message']))}" if record.get("message") else ""
        attempt = f" (attempt {self._attempts[job]})" if job in self._attempts else ""
        self._write(
            coloured(
                f"{MARKS[conclusion]} job {plain(job)}{attempt} {conclusion}{message}", conclusion, self._out
            )
            + "\n"
        )

    def _show_run(self, record: Mapping[str, Any]) -> None:
        for job, text in self._summaries:
            self._write(f"\n{coloured(f'Summary of {plain(job)}', 'bold', self._out)}\n")
            self._write(
                "".join(
                    f"  {close_colours(safe_text(line, colours=self._colours))}\n"
                    for line in text.splitlines()
                )
            )
        conclusion = str(record["conclusion"])
        seconds = duration(record.get("seconds"))
        self._write("\n" + coloured(f"{MARKS[conclusion]} run {conclusion}", conclusion, self._out))
        self._write(f"  {seconds}\n" if seconds else "\n")

    def _remark(self, record: Mapping[str, Any]) -> str | None:
        """Why a job waits; the title of an annotation, whose message is in the log already."""
        waits = f"waits: {plain(str(record['reason']))}" if record["kind"] == "waiting" else ""
        title = f"    {plain(str(record['title']))}" if record.get("title") else ""
        return coloured(waits or title, "dim", self._out) if waits or title else None

    def _log_line(self, text: str) -> str | None:
        kind, rest = split_command(text)
        rest = close_colours(safe_text(rest, colours=self._colours))
        if kind == "endgroup":
            return None
        if kind == "group":
            return f"  ▸ {rest}"
        label, colour = _MARKERS.get(kind, ("", "dim" if kind else ""))
        return "  " + coloured(f"{label}{rest}", colour, self._out)

    def _line(self, job: str, text: str | None) -> None:
        if text is not None:
            self._write(f"{self._prefix(job)}{text}\n")

    def _move(self, job: str, text: str) -> None:
        """Let `text` stand on the last line until something else is written."""
        if self._can_move and (text or self._moving == job):
            last = text.rpartition("\n")[2]
            line = f"{self._prefix(job)}  {safe_text(last, colours=self._colours)}"
            end = "\x1b[0m" if self._colours else ""
            self._write(cut_line(line, shutil.get_terminal_size().columns - 1) + end)
            self._moving = job

    def _write(self, text: str) -> None:
        if self._moving is not None:
            self._out.write("\r\x1b[K")
            self._moving = None
        self._out.write(text)

    def _prefix(self, job: str) -> str:
        return f"{plain(job)} │ " if self._shows_jobs and job else ""
