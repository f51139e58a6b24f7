"""What a job is made of: steps, or a form of work that this version does not know."""

import json

from agent import codec
from agent.ids import JobId, RunId
from agent.spec.job import JobSpec, SpecStepKind, StepSpec, StepsWork, UnknownWork, explain_unknown

# A job as the build before forms of work wrote it: into databases, job folders and `assign`.
RELEASED = (
    '{"run":7,"job":"job_1","key":"train","name":"Train","steps":[{"kind":"run","id":"__run","name":null,'
    '"condition":"success()","run":"echo","shell":null,"working_directory":null,"uses":null,"with_":{},"env":null,'
    '"continue_on_error":false,"timeout_minutes":null,"background":false,"targets":[],"place":""}],"runs_on":[],'
    '"group":"","env":[{"A":"1"}],"shell":null,"working_directory":null,"outputs":{},"timeout_minutes":360.0,'
    '"cancel_timeout_minutes":5.0,"continue_on_error":false,"container":null,"services":null,"secrets":[],"callers":[],'
    '"environment":"","environment_url":null,"permissions":null,"attempt":1,"contexts":{"github":{"sha":"abc"},'
    '"inputs":{},"needs":{},"strategy":{},"matrix":{},"vars":{},"job":{}},"source":{"kind":"none","url":"","ref":"",'
    '"commit":"","digest":""},"pins":null,"resources":{"cpus":0.0,"memory_bytes":0,"gpus":null},"priority":0,'
    '"hold_minutes":0.0,"nodes":1,"version":1}'
)
STEP = StepSpec(SpecStepKind.RUN, "__run", run="echo")
DANCE = {
    "run": 7,
    "job": "job_1",
    "key": "a",
    "name": "a",
    "work": {"kind": "dance", "moves": [1, {"two": None}]},
}


def test_a_job_of_the_released_form_still_reads() -> None:
    spec = codec.parse(JobSpec, RELEASED)
    assert spec.work == StepsWork((STEP,))
    assert (spec.steps, explain_unknown(spec)) == ((STEP,), "")


def test_steps_are_written_as_whoever_reads_the_released_form_expects_them_and_not_a_byte_longer() -> None:
    spec = codec.parse(JobSpec, RELEASED)
    written, released = json.loads(codec.dump(spec)), json.loads(RELEASED)
    assert written["steps"] == released["steps"]
    assert "work" not in written
    assert codec.to_json(spec) == written


def test_work_of_an_unknown_form_is_kept_as_it_came_and_explained() -> None:
    spec = codec.from_json(JobSpec, DANCE)
    assert spec.work == UnknownWork({"kind": "dance", "moves": [1, {"two": None}]})
    assert spec.steps == ()
    again = codec.to_json(spec)
    assert (again["work"], "steps" in again) == (DANCE["work"], False)
    assert codec.parse(JobSpec, codec.dump(spec)) == spec
    assert explain_unknown(spec) == (
        "its work is 'dance', which this version of the agent does not know; upgrade the agent"
    )


def test_steps_may_also_stand_under_work() -> None:
    spec = JobSpec(RunId(7), JobId("job_1"), "a", "a", StepsWork((STEP,)))
    form = {**codec.to_json(spec), "work": {"kind": "steps", "steps": [codec.to_json(STEP)]}}
    del form["steps"]
    assert codec.from_json(JobSpec, form) == spec
