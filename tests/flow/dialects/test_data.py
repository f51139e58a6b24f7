"""`brings` and `keeps` of GitHub's flows: our own keys."""

from textwrap import dedent

import pytest
from support.flows import check_flow, flow_of

from agent.flow.data import BroughtData, KeptData
from agent.flow.model import Position


def complaints(keys: str) -> list[str]:
    text = f"on: push\njobs:\n  a: {{runs-on: x, steps: [{{run: ls}}]}}\n  b:\n    runs-on: x\n    needs: a\n    {keys}\n"
    return [
        f"{problem.position.line}:{problem.position.column}: {problem.message}"
        for problem in check_flow(text, "test.yml")
    ]


def test_the_short_forms_and_the_long_ones_are_read_into_the_model() -> None:
    flow = flow_of(
        dedent("""
        a: {runs-on: x}
        b:
          runs-on: x
          needs: a
          brings: [{job: a}, {last: train, path: w}, {tag: best, path: /inputs/x, read-only: true}, {dataset: "d:1", path: d, optional: true}]
          keeps: [model, out/, {path: log, live: true}, {path: /outputs/y, as: dataset, name: y}, {path: a/acc.txt, as: text}]
        """)
    )
    brings = list(flow.jobs["b"].brings)
    assert brings[0] == BroughtData("job", "a", Position("test.yml", 7, 14))
    assert (brings[1].kind, brings[1].of, brings[1].job, brings[1].path) == ("last", "test.yml", "train", "w")
    assert (brings[2].path, brings[2].in_data, brings[2].is_read_only) == ("inputs/x", True, True)
    assert (brings[3].of, brings[3].is_optional) == ("d:1", True)
    keeps = list(flow.jobs["b"].keeps)
    assert keeps[0] == KeptData("artifact", "model", Position("test.yml", 8, 13))
    assert (keeps[1].path, keeps[1].makes_folder) == ("out/", True)
    assert keeps[2].live
    assert (keeps[3].kind, keeps[3].path, keeps[3].in_data, keeps[3].name) == (
        "dataset",
        "outputs/y",
        True,
        "y",
    )
    assert (keeps[4].kind, keeps[4].name) == ("text", "acc.txt")


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ("brings: [{job: a, name: m}]", []),
        ("brings: [{job: c}]", ["7:20: the job 'c' is not waited for, so that nothing of it can be brought"]),
        ("brings: [{job: a, tag: b}]", ["7:23: Unexpected value 'tag'"]),
        ("brings: [{text: hello}]", ["7:14: a text to bring has no path"]),
        ("brings: [{job: a, optional: '${{ vars.x }}'}]", ["7:33: expected true or false, found an expression"]),
        ("brings: a", ["7:13: Unexpected value 'a'"]),
        ("keeps: [{name: x}]", ["7:13: Required property is missing: path"]),
        ("keeps: [{path: x, as: tarball}]", ["7:27: Unexpected value 'tarball'"]),
        ("keeps: [{path: x, as: dataset, live: true}]", ["7:42: a dataset is kept at the end"]),
        ("keeps: [{path: '${{ secrets.x }}'}]", ["7:20: Unrecognized named-value: 'secrets'. Located at position 1 within expression: secrets.x"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_place(keys: str, found: list[str]) -> None:
    assert complaints(keys) == found


def test_a_text_that_is_kept_is_an_output_of_the_job() -> None:
    text = dedent("""
        on: push
        jobs:
          a: {runs-on: x, steps: [{run: ls}], keeps: [{path: acc.txt, as: text, name: acc}]}
          b: {runs-on: x, needs: a, steps: [{run: "echo ${{ needs.a.outputs.acc }} ${{ needs.a.outputs.loss }}"}]}
    """)
    (problem,) = check_flow(text, "test.yml")
    assert "`needs.a.outputs.loss` is always empty" in problem.message
