"""A DataTorch flow in GitHub's language: what means the same there, and what is told to have no equal."""

from textwrap import dedent

from agent.flow.load import find_front_end, load_flow
from agent.flow.problems import Severity


def write(text: str):
    flow = load_flow(dedent(text), "f.yml", dialect="datatorch").flow
    written = find_front_end("github").write(flow)
    return written.text, [problem.message for problem in written.losses if problem.severity is Severity.ERROR]


def test_a_flow_that_has_an_equal_is_written_and_read_again():
    text, losses = write(
        """\
        name: N
        triggers: {manual: {form: {type: object, required: [x], properties: {x: {type: integer, title: How many}, y: {enum: [a, b]}}}}}
        jobs:
          first:
            steps:
              - {name: add, action: datatorch/add@v1, timeout: 5, inputs: {a: "${{ input.x }}", b: "${{ event.n }}"}}
              - {name: Two words, action: o/r, if: steps.add.output.sum > 1, inputs: {t: "${{ steps.add.output.sum }} ${{ machine.os }} ${{ run.runNumber }}"}}
            outputs: {o: "${{ steps.add.output.sum }}"}
          second:
            needs: first
            steps: [{action: o/r@v1, inputs: {t: "${{ jobs.first.outputs.o }} ${{ pipeline.name }}"}}]
        """
    )
    assert losses == []
    again = load_flow(text, "again.yml").flow
    (by_hand,) = again.triggers
    assert [(one.name, one.type, one.required, one.options) for one in by_hand.inputs] == [
        ("x", "number", True, ()), ("y", "choice", False, ("a", "b")),
    ]  # fmt: skip
    add, words = again.jobs["first"].steps
    assert (add.id, add.uses, dict(add.with_), add.timeout_minutes) == (
        "add", "datatorch-actions/add@v1", {"a": "${{ inputs.x }}", "b": "${{ github.event.n }}"}, 5,
    )  # fmt: skip
    assert words.uses == "o/r@HEAD"
    assert words.with_["t"] == "${{ steps['add'].outputs.sum }} ${{ runner.os }} ${{ github.run_number }}"
    assert (
        again.jobs["second"].steps[0].with_["t"] == "${{ needs['first'].outputs.o }} ${{ github.workflow }}"
    )


def test_what_has_no_equal_is_told():
    _text, losses = write(
        """\
        name: N
        triggers: {annotatorButton: {name: B, icon: brain, flow: 2-points}}
        jobs:
          a:
            steps:
              - {name: Two words, action: o/r, cache: true, inputs: {x: "${{ variable.sum }}", y: {a: 1}}}
              - {action: o/r, inputs: {x: "${{ steps.Two words.output.sum }}", y: "${{ run.config }}"}}
        """
    )
    for said in (
        "a program that tells this flow alone of 'annotatorButton' does not exist there",
        "`variable.sum` means nothing to GitHub",
        "an input of an action is text there, and no mapping",
        "the outputs of an equal run can't be taken there",
        "`steps_by_name.outputs.sum` means nothing to GitHub",
        "`run.config` means nothing to GitHub",
    ):
        assert any(said in loss for loss in losses), (said, losses)
