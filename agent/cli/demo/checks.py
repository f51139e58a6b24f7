"""Checks of the demo: what it promises, and how each promise is recognised in what the run left behind."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ACCURACY = re.compile(r"accuracy (\d+(?:\.\d+)?) ?%")
_COMMIT = re.compile(r"\b[0-9a-f]{40}\b")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that can be looked at after the run."""

    run: Mapping[str, Any]  # the server's view of it
    records: Sequence[Mapping[str, Any]]  # what the follower was shown
    seen_at: Sequence[float]  # when, in seconds since the epoch
    folder: Path
    agent_state: Path
    data: Path
    secret: str

    def lines(self, job: str) -> list[str]:
        """The job's log."""
        return [record["text"] for record in self.records if record["kind"] == "log" and record["job"] == job]


@dataclass(frozen=True, slots=True)
class Promise:
    """One thing that the product promises, whether it was seen, and what was found."""

    text: str
    is_seen: bool
    found: str


def check_promises(evidence: Evidence) -> Iterator[Promise]:
    """Every promise, in the order of the run."""
    yield _keys_are_private(evidence)
    yield _jobs_were_leased(evidence)
    yield _action_came_from_git(evidence)
    yield _inputs_arrived(evidence)
    yield _secret_stayed_secret(evidence)
    yield _log_was_live(evidence)
    yield _second_job_used_the_first(evidence)
    yield _artifact_came_back(evidence)
    yield _summary_has_accuracy(evidence)


def _keys_are_private(evidence: Evidence) -> Promise:
    keys = [file for file in (evidence.agent_state / "identity").rglob("*") if file.is_file()]
    is_seen = bool(keys) and all(file.stat().st_mode & 0o077 == 0 for file in keys)
    return Promise(
        "the agent registered with keys of its own", is_seen, f"{len(keys)} file(s), readable by it alone"
    )


def _jobs_were_leased(evidence: Evidence) -> Promise:
    jobs = evidence.run["jobs"]
    told = ", ".join(f"{job['key']} by {job['agent']}: {job['conclusion']}" for job in jobs)
    is_seen = [job["conclusion"] for job in jobs] == ["success", "success"] and all(
        job["lease"] for job in jobs
    )
    return Promise("both jobs were leased and succeeded", is_seen, told)


def _action_came_from_git(evidence: Evidence) -> Promise:
    found = [
        line for line in evidence.lines("train") if "acme/split-data@v1" in line and _COMMIT.search(line)
    ]
    return Promise(
        "the action was resolved from git", bool(found), found[0].strip() if found else "no commit in the log"
    )


def _inputs_arrived(evidence: Evidence) -> Promise:
    found = [line for line in evidence.lines("train") if "120 rows to train on, 30 held back" in line]
    return Promise("its inputs arrived", bool(found), found[0] if found else "its output is missing")


def _secret_stayed_secret(evidence: Evidence) -> Promise:
    text = "the secret was used, masked, and is in no file"
    if not any("provider's key is ***" in line for line in evidence.lines("train")):
        return Promise(text, is_seen=False, found="the line that prints it is not masked")
    leaks = [str(file) for file in _files(evidence.folder) if evidence.secret.encode() in file.read_bytes()]
    return Promise(
        text, not leaks, ", ".join(leaks) or "'***' in the log; not in the database, journals or logs"
    )


def _log_was_live(evidence: Evidence) -> Promise:
    """A line counts as live when it was shown before its job's end was."""
    ends = [
        seen
        for record, seen in zip(evidence.records, evidence.seen_at, strict=True)
        if record["kind"] == "job"
    ]
    logs = [
        (record["time"], seen)
        for record, seen in zip(evidence.records, evidence.seen_at, strict=True)
        if record["kind"] == "log"
    ]
    if not ends or not logs:
        return Promise("the log came live", is_seen=False, found="no line came")
    early = sum(seen < max(ends) for _written, seen in logs)
    slowest = max(seen - written for written, seen in logs)
    is_seen = logs[0][1] < ends[0]
    return Promise(
        "the log came live", is_seen, f"{early} lines before the end, at most {slowest * 1000:.0f} ms old"
    )


def _second_job_used_the_first(evidence: Evidence) -> Promise:
    found = [line for line in evidence.lines("evaluate") if line.startswith("Trained on 120")]
    return Promise(
        "the second job used the first one's output", bool(found), found[0] if found else "not in its log"
    )


def _artifact_came_back(evidence: Evidence) -> Promise:
    folder = evidence.folder / "artifacts" / "model"
    files = {str(file.relative_to(folder)): file.stat().st_size for file in _files(folder)}
    is_seen = {"model.json", "metrics.json"} <= set(files) and all(files.values())
    found = f"{sum(files.values())} bytes: {', '.join(sorted(files))}" if files else "model is missing"
    return Promise("the artifact came back", is_seen, found)


def _summary_has_accuracy(evidence: Evidence) -> Promise:
    text = "\n".join(summary["text"] for summary in evidence.run["summaries"])
    match = _ACCURACY.search(text)
    is_seen = match is not None and float(match[1]) > 80
    return Promise("the model is good, and the summary says so", is_seen, match[0] if match else "no summary")


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
