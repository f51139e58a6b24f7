"""What must hold when everything is over, whatever had gone wrong."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from faults.jobs import KnownJob, read_artifact
from faults.world import AGENTS, World, query_store, wait_for

_EXCUSED_BY_A_FULL_DISK = {"infrastructure", "user", "action"}


@dataclass
class Findings:
    """What was looked at, and what is wrong."""

    jobs: int = 0
    lost: int = 0
    cramped: int = 0
    log_bytes: int = 0
    artifact_bytes: int = 0
    wrong: list[str] = field(default_factory=list)
    excused: list[str] = field(
        default_factory=list
    )  # jobs that a full disk has failed, and what they say of it

    def expect(self, holds: bool, sentence: str) -> None:
        """Note `sentence` when it does not hold."""
        if not holds:
            self.wrong.append(sentence)


def check_world(world: World, runs: Sequence[tuple[int, Sequence[KnownJob]]]) -> Findings:
    """Wait for the end of all runs, and look at all that is left of them."""
    found = Findings()
    for run, known in runs:
        _wait_for_end(world, run)
        _check_run(world, run, {job.mark: job for job in known}, found)
    _check_rows(world, len(runs), found)
    _check_beginnings(world, found)
    _check_machine(world, found)
    return found


def _wait_for_end(world: World, run: int) -> None:
    def has_ended() -> bool:
        return bool(world.ask("GET", f"/runs/{run}").json()["status"] == "completed")

    try:
        wait_for(has_ended, f"run {run} to end")
    except AssertionError as error:
        jobs = world.ask("GET", f"/runs/{run}").json()["jobs"]
        states = [(job["name"], job["id"], job["status"], job["agent"], job["waiting"]) for job in jobs]
        raise AssertionError(f"{error}: {states}") from None


def _check_run(world: World, run: int, known: dict[str, KnownJob], found: Findings) -> None:
    view = world.ask("GET", f"/runs/{run}").json()
    artifacts = _list_artifacts(world, run, found)
    names = Counter(job["name"] for job in view["jobs"])
    found.expect(
        names == Counter([*known, "after"]), f"run {run} has other jobs than were asked for: {names}"
    )
    for job in view["jobs"]:
        found.jobs += 1
        _check_job(world, job, known.get(job["name"]), artifacts, found)
    has_failed = any(job["conclusion"] != "success" for job in view["jobs"])
    expected = "failure" if has_failed else "success"
    found.expect(view["conclusion"] == expected, f"run {run} ended as {view['conclusion']}, not {expected}")


def _check_job(
    world: World, job: dict[str, Any], known: KnownJob | None, artifacts: dict[str, int], found: Findings
) -> None:
    name, conclusion, kind = f"job {job['id']} ({job['name']})", job["conclusion"], job["failure_kind"]
    text = world.ask("GET", f"/jobs/{job['id']}/log").text
    found.log_bytes += len(text.encode())
    killed = world.record.killed.get(job["id"])
    if killed and not killed.had_ended:
        found.lost += 1
        found.expect(
            (conclusion, kind) == ("failure", "lost"), f"{name} was killed, and ended as {conclusion}, {kind}"
        )
        found.expect(
            text.rstrip("\n") == killed.log.decode().rstrip("\n"),
            f"{name} was killed, and its log is not the one on its machine: {_differ(text, killed.log.decode())}",
        )
    elif conclusion == "success":
        _check_success(world, job, known, text, artifacts, found)
    else:
        found.cramped += 1
        found.excused.append(f"{name} on {job['agent']}: {kind}: {job['message']}: {text[-300:]!r}")
        found.expect(
            _was_cramped(world, job) and kind in _EXCUSED_BY_A_FULL_DISK and job["message"] != "",
            f"{name} on {job['agent']} ended as {conclusion}, {kind}, without a reason: {job['message']!r};"
            f" its log ends with {text[-600:]!r}",
        )
    if known is None:
        return
    said = _said(text, known.mark)
    expected = known.output()
    if text and not text.endswith("\n") and said and said[-1] != expected[len(said) - 1]:
        said.pop()  # the kill came in the middle of a line
    found.expect(
        said == expected[: len(said)],
        f"{name}: lines are missing, doubled or out of order: {_first(said, expected)}",
    )
    number = artifacts.pop(known.mark, None)
    if number is not None:
        archive = world.ask("GET", f"/artifacts/{number}/download").content
        found.artifact_bytes += len(archive)
        found.expect(read_artifact(archive) == known.artifact(), f"{name}: its artifact has other bytes")


def _check_success(
    world: World,
    job: dict[str, Any],
    known: KnownJob | None,
    text: str,
    artifacts: dict[str, int],
    found: Findings,
) -> None:
    name = f"job {job['id']} ({job['name']})"
    if known is None:
        found.expect(text.splitlines().count("after all") == 1, f"{name}: its log is {text!r}")
        return
    count = len(_said(text, known.mark))
    found.expect(count == known.lines, f"{name}: {count} of {known.lines} lines are there")
    found.expect(job["outputs"] == known.outputs(), f"{name}: its outputs are {job['outputs']}")
    found.expect(known.mark in artifacts, f"{name}: its artifact is not there")
    summary = world.ask("GET", f"/jobs/{job['id']}").json()["summary"].strip()
    found.expect(summary == known.summary(), f"{name}: its summary is {summary!r}")


def _said(text: str, mark: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"{mark} line ")]


def _first(said: list[str], expected: list[str]) -> str:
    for number, (one, other) in enumerate(zip(said, expected, strict=False)):
        if one != other:
            return f"line {number + 1} is {one!r}"
    return f"{len(said)} lines"


def _differ(one: str, other: str) -> str:
    same = (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])
    place = next(same, min(len(one), len(other)))
    return f"{len(one)} and {len(other)} characters; from {place} on {one[place:][:200]!r} and {other[place:][:200]!r}"


def _was_cramped(world: World, job: dict[str, Any]) -> bool:
    start, end = (
        datetime.fromisoformat(job[name] or "1970-01-01T00:00+00:00").timestamp()
        for name in ("queued", "finished")
    )
    return any(
        name in (job["agent"], "server") and start < until and end > since
        for name, since, until in world.record.cramped
    )


def _list_artifacts(world: World, run: int, found: Findings) -> dict[str, int]:
    listed = world.ask("GET", f"/runs/{run}/artifacts").json()["artifacts"]
    names = Counter(artifact["name"] for artifact in listed)
    found.expect(set(names.values()) <= {1}, f"run {run} has an artifact twice: {names}")
    return {artifact["name"]: artifact["id"] for artifact in listed}


def _check_rows(world: World, runs: int, found: Findings) -> None:
    """One end of each job in what viewers saw, one lease of it that came to its normal end, nothing waiting."""
    (number,) = _query(world, "SELECT count(*) FROM runs")[0]
    found.expect(number == runs, f"{number} runs are stored, {runs} were submitted")
    found.expect(
        not (left := _query(world, "SELECT id, status FROM jobs WHERE status <> 'completed'")),
        f"not ended: {left}",
    )
    events = [json.loads(data) for (data,) in _query(world, "SELECT data FROM events WHERE kind = 'job'")]
    ends = Counter(event["id"] for event in events if event["status"] == "completed")
    ids = {job for (job,) in _query(world, "SELECT id FROM jobs")}
    twice = {job: ends[job] for job in ids if ends[job] != 1}
    found.expect(not twice, f"jobs that did not end exactly once: {twice}")
    released = Counter(job for (job,) in _query(world, "SELECT job FROM leases WHERE state = 'released'"))
    wrong = {job: released[job] for job in ids if released[job] != 1}
    found.expect(not wrong, f"jobs whose leases were not completed exactly once: {wrong}")
    open_leases = _query(world, "SELECT job, number, state FROM leases WHERE ended_at IS NULL")
    found.expect(not open_leases, f"leases that have no end: {open_leases}")


def _check_beginnings(world: World, found: Findings) -> None:
    """Whatever became of them, no job has begun twice."""
    begun = Counter(world.begun.read_text().split() if world.begun.exists() else ())
    twice = {mark: times for mark, times in begun.items() if times > 1}
    found.expect(not twice, f"jobs that have begun more than once: {twice}")


def _query(world: World, statement: str) -> list[tuple[Any, ...]]:
    return query_store(world.data, world.database_url, statement)


def _check_machine(world: World, found: Findings) -> None:
    """No folder of a job, then no process, no socket; and nobody has said a traceback."""
    for name in AGENTS:
        work = world.state(name) / "work"
        try:
            wait_for(
                lambda name=name, work=work: not list(_left(world, name, work)), "the jobs' folders to go"
            )
        except AssertionError:
            found.wrong.append(f"left on {name}: {list(_left(world, name, work))}")
    for name, process in world.processes.items():
        code = world.stop(name)
        found.expect(code == 0, f"{name} ended with {code} at SIGTERM: {world.log_of(name)[-600:]}")
        text = world.log_of(name)
        found.expect(
            "Traceback" not in text,
            f"{name} says a traceback: {text[max(0, text.find('Traceback') - 300) :][:9000]}",
        )
        assert process.poll() is not None
    try:
        wait_for(lambda: not _processes_of(world.folder), "all processes to end")
    except AssertionError:
        found.wrong.append(f"processes are left: {_processes_of(world.folder)}")
    sockets = [str(path) for path in world.folder.rglob("*") if path.is_socket()]
    found.expect(not sockets, f"sockets are left: {sockets}")


def _left(world: World, name: str, work: Path) -> Iterator[str]:
    for place in (world.state(name) / "jobs", work):
        if place.is_dir():
            yield from (
                path.name for path in place.iterdir() if path.name.lstrip(".").startswith(("job", "left"))
            )


def _processes_of(folder: Path) -> list[str]:
    """Those that have the folder in their command or their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if int(process.name) != os.getpid() and any(os.fsencode(folder) + b"/" in text for text in words):
            command = " ".join(words[0].decode(errors="replace").split("\0"))
            found.append(f"{process.name}: {command}")
    return found
