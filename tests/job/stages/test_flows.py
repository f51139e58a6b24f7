"""Flows of stages in a real supervisor."""

import os
import signal
from pathlib import Path

import pytest
from support.jobs import finish_job, read_report
from support.lab import wait_for
from support.small_disk import small_disk, why_no_small_disks
from support.stage_flows import read_letters, run_stages, stage, start_stages, write_records

from agent.journal.format import Log
from agent.spec.outcome import Conclusion, FailureKind


def test_records_of_a_file_go_through_the_stages_and_the_job_ends_when_all_have_settled(
    tmp_path: Path,
) -> None:
    file = write_records(tmp_path / "records.jsonl", [{"id": n, "kind": "ab"[n % 2]} for n in range(5000)])
    report = run_stages(
        tmp_path,
        stage("in", "manual", "only a"),
        stage("only a", "filter", "shape", field="kind", match="b"),
        stage("shape", "field_map", "end", rename={"id": "number"}),
        stage("end", "noop"),
        records={"in": file},
    )
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert "5,000 in" in report.log("stage-1")
    assert "2,500 filtered" in report.log("stage-1")
    assert report.log("stage-3") == "2,500 in, 2,500 done\n"
    assert set(report.own_steps().values()) == {"success"}


def test_a_line_that_is_no_json_is_a_dead_letter_with_its_number_and_the_others_go_on(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text('{"id": 1}\n\nnot json\n{"id": 2}\n1 2\n{"id": 3}')
    report = run_stages(tmp_path, stage("in", "manual", "end"), stage("end", "noop"), records={"in": file})
    assert report.conclusion is Conclusion.FAILURE
    assert (
        f"2 records ended as dead letters; they are in {tmp_path}/dead-letters.jsonl" in report.result.message
    )
    first, second = read_letters(tmp_path)
    assert (first["stage"], first["record"]) == ("in", "not json")
    assert str(first["cause"]).startswith("line 3 is no JSON")
    assert str(second["cause"]).startswith("line 5 is no JSON")
    assert report.log("stage-1") == "3 in, 3 done\n"


def test_one_record_that_fails_for_good_fails_no_other_of_its_batch(tmp_path: Path) -> None:
    records = [{"n": "x" if n == 17 else str(n)} for n in range(100)]
    file = write_records(tmp_path / "records.jsonl", records)
    report = run_stages(
        tmp_path,
        stage("in", "manual", "to int"),
        stage("to int", "field_map", "end", convert={"n": "int"}),
        stage("end", "noop"),
        records={"in": file},
    )
    (letter,) = read_letters(tmp_path)
    assert letter["cause"] == "field 'n' can't become an int: \"x\""
    assert letter["record"] == {"n": "x"}
    assert report.log("stage-2") == "99 in, 99 done\n"


def test_a_record_that_always_fails_is_tried_as_often_as_retry_says(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", [1, 2, 3])
    report = run_stages(
        tmp_path,
        stage("in", "manual", "never"),
        stage("never", "error", retry={"attempts": 4, "first": 0.001}),
        records={"in": file},
    )
    assert [letter["attempts"] for letter in read_letters(tmp_path)] == [4, 4, 4]
    assert "3 in, 9 retried, 3 dead" in report.log("stage-1")


def test_a_cancelled_flow_drains_and_what_did_not_settle_comes_again(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", list(range(3)))
    flow = (stage("in", "manual", "slow"), stage("slow", "error", retry={"first": 3600, "most": 3600}))
    folder, pid = start_stages(tmp_path, *flow, records={"in": file}, cancel_timeout_minutes=0.002)
    wait_for(
        lambda: any(
            isinstance(record, Log) and b"failed" in record.data for record in read_report(folder).records
        ),
        "a failure",
    )
    os.kill(pid, signal.SIGTERM)
    report = finish_job(folder, pid)
    assert report.conclusion is Conclusion.CANCELLED
    assert read_letters(tmp_path) == []


@pytest.mark.parametrize(
    ("action", "config"),
    [
        ("run", {"run": "echo $$ > PLACE; trap '' TERM INT HUP; while true; do sleep 0.1; done"}),
        (
            "python",
            {
                "code": "import os, signal, time\n"
                "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                "def handle(record):\n"
                "    open('PLACE', 'w').write(str(os.getpid()))\n"
                "    while True: time.sleep(60)\n"
            },
        ),
    ],
    ids=["command", "code"],
)
def test_a_cancelled_flow_whose_stage_never_answers_ends_and_its_program_with_it(
    tmp_path: Path, action: str, config: dict[str, str]
) -> None:
    place = tmp_path / "pid"
    said = {key: text.replace("PLACE", str(place)) for key, text in config.items()}
    file = write_records(tmp_path / "records.jsonl", [{"n": 1}])
    flow = (stage("in", "manual", "silent"), stage("silent", action, timeout=3600, **said))
    folder, pid = start_stages(tmp_path, *flow, records={"in": file}, cancel_timeout_minutes=0.002)
    program = int(wait_for(lambda: place.exists() and place.read_text().strip(), "the program at work"))
    os.kill(pid, signal.SIGTERM)
    report = finish_job(folder, pid)
    assert report.conclusion is Conclusion.CANCELLED, report.log()
    assert not Path(f"/proc/{program}").exists()


@pytest.mark.skipif(bool(why_no_small_disks()), reason=why_no_small_disks())
def test_dead_letters_that_the_disk_does_not_take_end_the_flow_and_settle_nothing(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", list(range(10)))
    flow = (stage("in", "manual", "never"), stage("never", "error", retry=1))
    with small_disk(tmp_path / "small", 1 << 20) as disk:
        letters = tmp_path / "small" / "letters.jsonl"
        disk.fill()
        report = run_stages(tmp_path, *flow, records={"in": file}, letter_file=letters)
        assert report.result.failure_kind is FailureKind.INFRASTRUCTURE
        assert report.result.message == (
            f"dead letters can't be kept: No space left on device ({letters}); make room there"
        )
        disk.relieve()
        again = run_stages(tmp_path, *flow, records={"in": file}, letter_file=letters)
        assert "10 records ended as dead letters" in again.result.message


def test_secrets_stand_in_the_config_of_stages_and_are_masked_in_dead_letters(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", [{"n": 1}])
    report = run_stages(
        tmp_path,
        stage("in", "manual", "mark"),
        stage(
            "mark",
            "merge_data",
            "check",
            data={"key": "Bearer ${secrets.my-key}", "other": ["${secret.my-key}"]},
        ),
        stage("check", "filter", "end", field="key", match="Bearer open sesame", reject_matches=False),
        stage("end", "error", retry=1),
        records={"in": file},
        secrets={"my-key": "open sesame"},
    )
    (letter,) = read_letters(tmp_path)
    assert letter["record"] == {"n": 1, "key": "Bearer ***", "other": ["***"]}
    assert "open sesame" not in report.log()


def test_a_flow_whose_stage_cannot_be_made_says_which_and_where(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", [1])
    report = run_stages(
        tmp_path,
        stage("in", "manual", "bad"),
        stage("bad", "filter", field="n", pattern="("),
        records={"in": file},
    )
    assert report.result.failure_kind is FailureKind.USER
    assert report.result.message.startswith("stage 'bad' can't be made: `pattern` is no regular expression")
    assert report.steps()["stage-1"].conclusion is Conclusion.FAILURE


def test_a_line_that_is_too_long_is_a_dead_letter_and_the_next_ones_go_on(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text('1\n"' + "x" * (17 << 20) + '"\n2\n3\n')
    report = run_stages(tmp_path, stage("in", "manual", "end"), stage("end", "noop"), records={"in": file})
    (letter,) = read_letters(tmp_path)
    assert letter["cause"] == "line 2 is over 16 MiB"
    assert len(str(letter["record"])) == 1000
    assert "3 in, 3 done" in report.log("stage-1")
