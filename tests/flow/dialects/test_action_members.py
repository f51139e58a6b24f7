"""Names that composite actions read and that cannot be there."""

import pytest

from agent.flow.dialects.github.action_members import check_action_members
from agent.flow.source import read_source


def warnings(steps, *, output="x"):
    text = (
        f"inputs: {{who: }}\noutputs: {{greeting: {{value: '{output}'}}}}\n"
        f"runs:\n  using: composite\n  steps:\n{steps}"
    )
    return [str(problem) for problem in check_action_members(read_source(text, "action.yml"))]


ONE = "    - {id: one, shell: bash, run: a}\n"


@pytest.mark.parametrize(
    "text",
    [
        "${{ inputs.WHO }}", "${{ steps.one.outputs.any }}", "${{ matrix.any }}", "${{ env.any }}", "${{ github.action_path }}",
        "${{ github.event.any }}", "${{ job.services.any.id }}", "${{ open", "${{ a b }}", "no expression", "${{ hashFiles(inputs.who) }}",
    ],
)  # fmt: skip
def test_what_an_action_may_read_is_not_warned_about(text):
    assert warnings(ONE + f"    - {{if: success() && inputs.who, shell: bash, run: '{text}'}}\n") == []


def test_inputs_steps_and_contexts_are_known_and_the_place_is_said():
    steps = "    - {if: inputs.woh, shell: bash, run: '${{ steps.one.outcome }}'}\n" + ONE
    steps += "    - {shell: bash, run: a, env: {A: '${{ github.shaa }}', B: ['${{ steps.one.output }}']}}\n"
    assert warnings(steps, output="${{ steps.one.outputs.x }} ${{ steps.two.outputs.x }}") == [
        "action.yml:2:29: `steps.two` is always empty: no step of this action has that id; known here: one",
        "action.yml:6:12: `inputs.woh` is always empty: the action declares no such input; known here: who",
        (
            "action.yml:6:42: `steps.one` is always empty: that step does not stand above this one; "
            "a step sees only what the steps above it gave"
        ),
        (
            "action.yml:8:38: `github.shaa` is always empty: the context `github` has no such member; "
            "did you mean `github.sha`?"
        ),
        (
            "action.yml:8:64: `steps.one.output` is always empty: a step has only `outputs`, `outcome` and `conclusion`; "
            "did you mean `steps.one.outputs`?"
        ),
    ]


def test_whether_a_failure_counts_is_asked_when_the_step_is_done():
    assert (
        warnings("    - {id: one, shell: bash, run: a, continue-on-error: '${{ steps.one.outputs.x }}'}\n")
        == []
    )


def test_a_file_full_of_mistakes_is_not_told_in_full():
    steps = "".join(f"    - {{shell: bash, run: '${{{{ inputs.x{number} }}}}'}}\n" for number in range(200))
    assert len(warnings(steps)) == 100


@pytest.mark.parametrize("text", ["runs: {using: node20, main: '${{ inputs.x }}'}", "runs: x", "x", "[]"])
def test_other_actions_have_nothing_to_check(text):
    assert check_action_members(read_source(text, "action.yml")) == []
