"""Runs on the terminal: as lines for people, or as JSON for programs.

Journals of this machine come record by record (`show_record`), the server's and everything else as public records
(`show`). Output is by far the most of it: what has nothing special in it goes through whole, not line by line.
"""

import re
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from agent.cli.tables import MARKS, coloured, duration, json_text, plain
from agent.journal.format import Log, Record
from agent.journal.public import PublicRecords

_MARKERS = {
    "error": ("Error: ", "failure"),
    "warning": ("Warning: ", "cancelled"),
    "notice": ("Notice: ", "running"),
}
_HARMLESS = bytes([*b"\t\n", *range(0x20, 0x7F)])
_COMMAND = re.compile(r"##\[(\w+)\](.*)", re.DOTALL)
# Job output is not trusted: colours pass, everything else that steers a terminal does not (security.md).
_UNSAFE = re.compile(
    r"\x1b(?!\[[0-9;:]*m)(?:\[[0-?]*[ -/]*[@-~]?|\][^\x07\x1b]*(?:\x07|\x1b\\)?)?"
    r"|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


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
        """Write the record at once: a program follows."""
        self._out.write(json_text(record, self._out) + "\n")
        self._out.flush()

    def show_record(self, job: str, record: Record) -> None:
        """Write what the record is for the public."""
        for public in self._journals.setdefault(job, PublicRecords(job)).convert(record):
            self.show(public)

    def tick(self) -> None:
        """Nothing moves."""


class TextScreen:
    """Lines for people: each begins with its job when there is more than one."""

    def __init__(self, out: TextIO, *, shows_jobs: bool = True) -> None:
        self._out = out
        self._shows_jobs = shows_jobs
        self._summaries: list[tuple[str, str]] = []
        self._journals: dict[str, PublicRecords] = {}
        self._rests: dict[tuple[str, int], bytes] = {}  # the unfinished last line of each step

    def show(self, record: Mapping[str, Any]) -> None:
        """Write the record's lines; what has no line for people is left out."""
        job = str(record.get("job", ""))
        match record["kind"]:
            case "log":
                self._line(job, self._log_line(str(record["text"])))
            case "step":
                self._show_step(job, record)
            case "job":
                self._show_job(job, record)
            case "run":
                self._show_run(record)
            case "summary":
                self._summaries.append((job, str(record["text"])))
            case "waiting":
                self._line(job, coloured(f"waits: {plain(str(record['reason']))}", "dim", self._out))
            case "warning":
                self._line(job, coloured(f"Warning: {plain(str(record['message']))}", "cancelled", self._out))
        self._out.flush()

    def show_record(self, job: str, record: Record) -> None:
        """Write the record's lines."""
        if isinstance(record, Log):
            self._show_output(job, record)
            return
        for public in self._journals.setdefault(job, PublicRecords(job)).convert(record):
            if public["kind"] == "job" or public.get("state") == "completed":
                self._show_rests(job, public.get("index"))
            self.show(public)

    def tick(self) -> None:
        """Nothing moves."""

    def _show_output(self, job: str, record: Log) -> None:
        whole, newline, rest = (self._rests.pop((job, record.step), b"") + record.data).rpartition(b"\n")
        if rest:
            self._rests[job, record.step] = rest
        if not newline:
            return
        if whole.translate(None, _HARMLESS) or b"##[" in whole:
            for line in whole.split(b"\n"):
                self._line(job, self._log_line(line.removesuffix(b"\r").decode("utf-8", "replace")))
        else:
            begin = f"{self._prefix(job)}  "
            self._out.write(f"{begin}{whole.decode('ascii').replace(chr(10), chr(10) + begin)}\n")
        self._out.flush()

    def _show_rests(self, job: str, step: object) -> None:
        """The last lines of a step that ends without a newline; those of all steps when the job ends."""
        for key in [key for key in self._rests if key[0] == job and step in (None, key[1])]:
            self._line(job, self._log_line(self._rests.pop(key).decode("utf-8", "replace")))

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
        self._out.write(
            coloured(f"{MARKS[conclusion]} job {job} {conclusion}{message}", conclusion, self._out) + "\n"
        )

    def _show_run(self, record: Mapping[str, Any]) -> None:
        for job, text in self._summaries:
            self._out.write(f"\n{coloured(f'Summary of {job}', 'bold', self._out)}\n")
            self._out.write("".join(f"  {safe_text(line)}\n" for line in text.splitlines()))
        conclusion = str(record["conclusion"])
        seconds = duration(record.get("seconds"))
        self._out.write("\n" + coloured(f"{MARKS[conclusion]} run {conclusion}", conclusion, self._out))
        self._out.write(f"  {seconds}\n" if seconds else "\n")

    def _log_line(self, text: str) -> str | None:
        match = _COMMAND.match(text)
        if match is None:
            return f"  {safe_text(text)}"
        kind, rest = match[1], safe_text(match[2])
        if kind == "endgroup":
            return None
        if kind == "group":
            return f"  ▸ {rest}"
        label, colour = _MARKERS.get(kind, ("", "dim"))
        return "  " + coloured(f"{label}{rest}", colour, self._out)

    def _line(self, job: str, text: str | None) -> None:
        if text is not None:
            self._out.write(f"{self._prefix(job)}{text}\n")

    def _prefix(self, job: str) -> str:
        return f"{job} │ " if self._shows_jobs and job else ""


def safe_text(text: str) -> str:
    """`text` with its colours, without anything else that would move, retitle or reprogram a terminal."""
    return _UNSAFE.sub("", text)
