"""What a job's conventions are: a name in its specification, and data behind it."""

from dataclasses import replace

from agent import codec
from agent.ids import JobId, RunId
from agent.spec.conventions import GITHUB, RELEASED, CommandFile, find_conventions
from agent.spec.job import JobSpec, StepsWork, explain_unknown

SPEC = JobSpec(RunId(1), JobId("job_1"), "a", "a", StepsWork(()))


def test_a_job_that_names_none_has_those_of_the_released_form_and_is_not_a_byte_longer() -> None:
    assert SPEC.conventions == RELEASED
    assert find_conventions(RELEASED) is GITHUB
    assert "conventions" not in codec.to_json(SPEC)
    assert codec.parse(JobSpec, codec.dump(SPEC)) == SPEC


def test_others_travel_by_name_and_an_unknown_name_is_explained() -> None:
    spec = codec.parse(JobSpec, codec.dump(replace(SPEC, conventions="tea house")))
    assert spec.conventions == "tea house"
    assert explain_unknown(spec) == (
        "it expects the conventions 'tea house', which this version of the agent does not know; upgrade the agent"
    )


def test_githubs_words_are_githubs() -> None:
    assert GITHUB.context_variable("sha") == "GITHUB_SHA"
    assert GITHUB.machine_variable("temp") == "RUNNER_TEMP"
    assert GITHUB.input_variable("fetch depth-of") == "INPUT_FETCH_DEPTH-OF"
    assert set(GITHUB.command_files) == set(CommandFile)
    assert GITHUB.shells["bash"].startswith("bash --noprofile --norc")
