"""`kill -9` of a flow's supervisor: nothing is lost, and what comes twice had not settled."""

import os
import signal
from collections import Counter
from pathlib import Path

from support.jobs import finish_job
from support.lab import wait_for
from support.stage_flows import read_letters, run_stages, stage, start_stages, write_records

from agent.spec.outcome import Conclusion

RECORDS = 40_000


def count_letters(tmp_path: Path) -> int:
    file = tmp_path / "dead-letters.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_a_supervisor_that_is_killed_loses_no_record_and_the_next_run_goes_on_from_what_was_settled(
    tmp_path: Path,
) -> None:
    file = write_records(tmp_path / "records.jsonl", list(range(RECORDS)))
    flow = (
        stage("in", "manual", ("left", "right")),
        stage("left", "noop", "both"),
        stage("right", "noop", "both"),
        stage("both", "zip", "end", event_limit=700),
        stage("end", "error", retry=1),
    )
    for mark in (5_000, 15_000, 25_000):
        folder, pid = start_stages(tmp_path, *flow, records={"in": file})
        wait_for(lambda mark=mark: count_letters(tmp_path) > mark, f"{mark} dead letters")
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    folder, pid = start_stages(tmp_path, *flow, records={"in": file})
    report = finish_job(folder, pid)
    assert "goes on at line" in report.log("stage-0")
    ended = Counter(letter["record"][0] for letter in read_letters(tmp_path))  # type: ignore[index]
    assert set(ended) == set(range(RECORDS))
    assert all(letter["record"][0] == letter["record"][1] for letter in read_letters(tmp_path))  # type: ignore[index]
    doubles = sum(count - 1 for count in ended.values())
    assert doubles < RECORDS, "each run went on where the one before had settled"


def test_a_file_that_was_settled_whole_is_brought_again_by_the_next_run(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", list(range(10)))
    flow = (stage("in", "manual", "end"), stage("end", "noop"))
    for _ in range(2):
        report = run_stages(tmp_path, *flow, records={"in": file})
        assert report.conclusion is Conclusion.SUCCESS
        assert "10 in, 10 done" in report.log("stage-1")
