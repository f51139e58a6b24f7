"""Runs on the terminal: public records (agent.journal.public) as lines for people, or as JSON for programs."""

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from agent.cli.tables import MARKS, coloured, duration, plain

_MARKERS = {
    "error": ("Error: ", "failure"),
    "warning": ("Warning: ", "cancelled"),
    "notice": ("Notice: ", "running"),
}
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


class JsonScreen:
    """One record a line, as contract for programs (docs/cli.md, *Records*)."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, record: Mapping[str, Any]) -> None:
        """Write the record at once: a program follows."""
        self._out.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._out.flush()


class TextScreen:
    """Lines for people: each begins with its job when there is more than one."""

    def __init__(self, out: TextIO, *, shows_jobs: bool = True) -> None:
        self._out = out
        self._shows_jobs = shows_jobs
        self._summaries: list[tuple[str, str]] = []

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
            prefix = f"{job} │ " if self._shows_jobs and job else ""
            self._out.write(f"{prefix}{text}\n")


def safe_text(text: str) -> str:
    """`text` with its colours, without anything else that would move, retitle or reprogram a terminal."""
    return _UNSAFE.sub("", text)
