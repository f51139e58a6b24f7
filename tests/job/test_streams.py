"""The records of a job: what is written when."""

import asyncio
from pathlib import Path

import pytest

from agent.errors import AgentError
from agent.job.output.masking import Masker
from agent.job.output.recorder import Recorder
from agent.journal.file import JournalReader, JournalWriter
from agent.journal.format import Annotation, Closed, Log, Record, StepChanged
from agent.spec.outcome import Conclusion, JobResult

SUCCESS = Conclusion.SUCCESS


def read(journal: Path) -> list[str]:
    return [describe(record) for _end, record in JournalReader(journal)]


def describe(record: Record) -> str:
    match record:
        case StepChanged():
            return f"{record.id} {record.state}"
        case Log():
            return record.data.decode()
        case _:
            return type(record).__name__


def test_a_steps_end_is_in_the_journal_before_the_next_step_is_in_it(tmp_path: Path) -> None:
    async def run() -> None:
        recorder = Recorder(tmp_path / "journal", Masker())
        first = recorder.begin_step("a", "a")
        first.say("hello")
        first.end(SUCCESS, SUCCESS)
        recorder.begin_step("b", "b")
        assert read(tmp_path / "journal") == ["a running", "hello\n", "a completed", "b running"]

    asyncio.run(run())


def test_a_steps_end_waits_for_nobody(tmp_path: Path) -> None:
    async def run() -> None:
        recorder = Recorder(tmp_path / "journal", Masker())
        recorder.begin_step("a", "a").end(SUCCESS, SUCCESS)
        await asyncio.sleep(0)
        assert read(tmp_path / "journal") == ["a running", "a completed"]

    asyncio.run(run())


def test_steps_that_are_open_end_before_the_last_record(tmp_path: Path) -> None:
    async def run() -> Recorder:
        recorder = Recorder(tmp_path / "journal", Masker())
        recorder.begin_step("a", "a").say("hello")
        recorder.begin_step("b", "b").end(SUCCESS, SUCCESS)
        return recorder

    asyncio.run(run()).close(JobResult(SUCCESS))
    *records, last = read(tmp_path / "journal")
    assert sorted(records) == sorted(["a running", "b running", "b completed", "hello\n", "a completed"])
    assert last == Closed.__name__


def test_on_a_full_disk_output_is_dropped_and_the_ends_of_steps_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = JournalWriter.append

    def refuse_output(writer: JournalWriter, *records: Record) -> int:
        if any(isinstance(record, Log) for record in records):
            raise AgentError("the disk is full")
        return append(writer, *records)

    async def run() -> None:
        recorder = Recorder(tmp_path / "journal", Masker())
        log = recorder.begin_step("a", "a")
        monkeypatch.setattr(JournalWriter, "append", refuse_output)
        log.say("hello")
        log.end(SUCCESS, SUCCESS)
        recorder.begin_step("b", "b")
        assert read(tmp_path / "journal") == ["a running", "a completed", "b running"]
        assert str(recorder.failure) == "the disk is full"

    asyncio.run(run())


def test_a_secret_as_the_name_of_a_step_an_output_or_an_annotation_is_not_in_the_journal(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        masker = Masker()
        masker.add("s3cr3t-name")
        recorder = Recorder(tmp_path / "journal", masker)
        step = recorder.begin_step("a", "Train s3cr3t-name")
        recorder.annotate(Annotation(step.step, "error", "m s3cr3t-name", "t s3cr3t-name", "f s3cr3t-name"))
        recorder.summarise(step.step, "# s3cr3t-name")
        step.end(SUCCESS, SUCCESS, {"s3cr3t-name": "x", "y": "s3cr3t-name"})
        await asyncio.sleep(0)
        ended = [
            record for _, record in JournalReader(tmp_path / "journal") if isinstance(record, StepChanged)
        ]
        assert ended[-1].outputs == {"***": "x", "y": "***"}
        assert b"s3cr3t" not in (tmp_path / "journal").read_bytes()

    asyncio.run(run())
