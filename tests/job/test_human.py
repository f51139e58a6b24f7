"""Steps that wait for a person: asked in the journal, answered once, their time-outs and the job's standing still."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from support.jobs import JobReport, finish_job, read_report, script, start_job, uses, write_action
from support.lab import PATIENCE_SECONDS

from agent.job.launch.launcher import JobFolder, answer_step, read_pause, request_cancel
from agent.journal.format import FormAsked
from agent.spec.job import SpecStepKind, StepSpec
from agent.spec.outcome import Conclusion

T = TypeVar("T")
LOOK = """
name: Look at the pictures
outputs:
  good: {description: how many are good}
runs:
  using: human
  form:
    type: object
    properties: {good: {type: integer}, notes: {type: array}}
    required: [good]
"""


def wait_for_question(folder: JobFolder, number: int = 1) -> FormAsked:
    """The question number `number` of the job."""

    def find() -> FormAsked | None:
        asked = [record for record in read_report(folder).records if isinstance(record, FormAsked)]
        return asked[number - 1] if len(asked) >= number else None

    return wait_for(find)


def wait_for(find: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := find()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def start(tmp_path: Path, *steps: StepSpec, **options: object) -> tuple[JobFolder, int]:
    write_action(tmp_path / "ws", "look", LOOK)
    return start_job(tmp_path, *steps, settings={"workspace": tmp_path / "ws"}, **options)


READS = script("reads", "echo good ${{ steps.look.outputs.good }} notes '${{ steps.look.outputs.notes }}'")


def test_a_step_asks_in_the_journal_and_goes_on_with_the_answer(tmp_path: Path) -> None:
    folder, pid = start(tmp_path, uses("look", "./look"), READS)
    asked = wait_for_question(folder)
    assert asked.title == "Look at the pictures"
    assert asked.form == {
        "type": "object",
        "properties": {"good": {"type": "integer"}, "notes": {"type": "array"}},
        "required": ["good"],
    }
    assert answer_step(folder, asked.step + 5, "ada", {}) == "the step waits for no answer"
    assert answer_step(folder, asked.step, "ada", {"good": 7, "notes": ["a", 1]}) == ""
    report = finish_job(folder, pid)
    assert report.conclusion is Conclusion.SUCCESS
    assert report.output_of("reads") == ['good 7 notes ["a", 1]']
    assert report.steps()["look"].outputs == {"good": 7, "notes": ["a", 1]}
    assert "Answered by ada" in report.log("look")


def test_a_question_is_answered_once(tmp_path: Path) -> None:
    folder, pid = start(tmp_path, uses("look", "./look"), uses("again", "./look"))
    first = wait_for_question(folder)
    assert answer_step(folder, first.step, "ada", {"good": 1}) == ""
    second = wait_for_question(folder, 2)
    assert answer_step(folder, first.step, "bob", {"good": 2}) == "the step was answered already, by ada"
    assert answer_step(folder, second.step, "bob", {"good": 3}) == ""
    report = finish_job(folder, pid)
    assert [report.steps()[name].outputs["good"] for name in ("look", "again")] == [1, 3]


def test_who_refuses_to_answer_makes_the_step_fail_with_the_reason(tmp_path: Path) -> None:
    folder, pid = start(tmp_path, uses("look", "./look"), script("after", "true"))
    asked = wait_for_question(folder)
    assert answer_step(folder, asked.step, "", {}, "nobody is there") == ""
    report = finish_job(folder, pid)
    assert report.own_steps() == {"look": "failure", "after": "skipped"}
    assert report.result.message == "nobody is there"


def test_a_cancel_ends_the_waiting(tmp_path: Path) -> None:
    folder, pid = start(tmp_path, uses("look", "./look"), script("last", "true", condition="always()"))
    wait_for_question(folder)
    assert request_cancel(folder, "enough")
    report = finish_job(folder, pid)
    assert report.conclusion is Conclusion.CANCELLED
    assert report.own_steps() == {"look": "cancelled", "last": "success"}


def outlast(folder: JobFolder, seconds: float) -> None:
    """Wait until the job's time has stood still for so long."""
    wait_for(lambda: read_pause(folder)[1] >= seconds or None)


def test_time_outs_of_step_and_job_stand_still_while_it_waits(tmp_path: Path) -> None:
    write_action(
        tmp_path / "ws",
        "around",
        "runs: {using: composite, steps: [{uses: ./look, id: look}]}\noutputs: {good: {value: x}}",
    )
    seconds = 0.8
    folder, pid = start(
        tmp_path,
        uses("around", "./around", timeout_minutes=seconds / 60),
        script("after", "true"),
        timeout_minutes=seconds / 60,
    )
    asked = wait_for_question(folder)
    outlast(folder, seconds * 2)
    assert read_pause(folder)[0]
    assert answer_step(folder, asked.step, "ada", {"good": 1}) == ""
    assert finish_job(folder, pid).conclusion is Conclusion.SUCCESS


def test_the_time_goes_on_when_the_answer_is_there(tmp_path: Path) -> None:
    folder, pid = start(
        tmp_path, uses("look", "./look"), script("sleeps", "sleep 60"), timeout_minutes=1.2 / 60
    )
    asked = wait_for_question(folder)
    assert answer_step(folder, asked.step, "ada", {"good": 1}) == ""
    report = finish_job(folder, pid)
    assert "exceeded the maximum execution time" in report.result.message


def test_a_step_in_the_background_waits_while_others_run(tmp_path: Path) -> None:
    folder, pid = start(
        tmp_path,
        uses("look", "./look", background=True),
        script("works", "echo works"),
        StepSpec(SpecStepKind.WAIT, "wait", targets=("look",)),
        READS,
    )
    asked = wait_for_question(folder)
    wait_for(lambda: read_report(folder).steps().get("works"))
    assert answer_step(folder, asked.step, "ada", {"good": 4}) == ""
    report = finish_job(folder, pid)
    assert report.output_of("reads") == ["good 4 notes "]


def test_without_a_form_a_human_action_asks_for_its_outputs(tmp_path: Path) -> None:
    write_action(tmp_path / "ws", "look", "outputs: {a: {description: first}, b: {}}\nruns: {using: human}\n")
    folder, pid = start_job(tmp_path, uses("look", "./look"), settings={"workspace": tmp_path / "ws"})
    asked = wait_for_question(folder)
    assert asked.form == {
        "type": "object",
        "properties": {"a": {"type": "string", "description": "first"}, "b": {"type": "string"}},
        "required": ["a", "b"],
    }
    os.kill(pid, signal.SIGTERM)
    report: JobReport = finish_job(folder, pid)
    assert report.conclusion is Conclusion.CANCELLED


@pytest.mark.parametrize("form", ["[1]", "text"])
def test_a_form_that_is_no_mapping_is_an_error_of_the_manifest(tmp_path: Path, form: str) -> None:
    write_action(tmp_path / "ws", "look", f"runs:\n  using: human\n  form: {form}\n")
    folder, pid = start_job(tmp_path, uses("look", "./look"), settings={"workspace": tmp_path / "ws"})
    assert "A mapping was expected" in finish_job(folder, pid).result.message
