"""Whoever validates a file is told all that is wrong with it at once, whatever else is wrong with the same job."""

import pytest

from agent.flow.load import inspect_flow

DSTACK_REST = """
    commands: [{}]
    env: ['a b']
    artifacts: [{pathh: x}]
    resources: {gpu: banana}
    deps: [{workflow: b, zz: 1}]
    depends-on: [nobody]
    artefacts: [x]
  - name: b
    provider: bash
    comands: [x]
"""
OF_DSTACK_REST = [
    "A mapping was not expected",
    "'a b' is no name of a variable",
    "Unexpected value 'pathh'",
    "'banana' is no number of them",
    "Unexpected value 'zz'",
    "there is no workflow 'nobody'",
    "Unexpected value 'artefacts'",
    "Unexpected value 'comands'",
]


def found(text: str, dialect: str) -> list[str]:
    flow, problems = inspect_flow(text, "flow.yml", dialect)
    assert flow is None
    messages = [(str(problem.position), problem.message) for problem in problems]
    assert len(set(messages)) == len(messages), "nothing is said twice"
    return [message for _, message in messages]


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("name: a\n    provider: nosuch", "there is no provider 'nosuch'"),
        ("name: a\n    provider: {name: x, repo: o/r}", "the provider 'x' of o/r is not here"),
        ("name: a\n    provider: [bash]", "A sequence was not expected"),
        ("name: a", "Required property is missing: provider"),
        ("provider: bash", "Required property is missing: name"),
        ("name: a/b\n    provider: bash", "'a/b' is no name of a workflow"),
        ("name: [a]\n    provider: bash", "A sequence was not expected"),
        ("name: b\n    provider: bash", "'b' is already defined"),
        ("name: a/b\n    provider: nosuch", "'a/b' is no name of a workflow"),
    ],
)
def test_a_dstack_workflow_of_no_name_or_provider_is_judged_all_the_same(head, said):
    messages = found(f"workflows:\n  - {head}{DSTACK_REST}", "dstack")
    assert [message for message in [said, *OF_DSTACK_REST] if message not in messages] == []


@pytest.mark.parametrize(
    ("dialect", "work"),
    [
        ("datatorch", "steps: [{action: a/b@v1}]"),
        ("gradient", "uses: script@v1\n    with: {image: x, script: y}"),
        ("github", "runs-on: x\n    steps: [{run: x}]"),
    ],
)
def test_an_unknown_need_is_told_beside_a_job_that_can_not_be_read(dialect, work):
    head = {"datatorch": "name: x\n", "github": "on: push\n"}.get(dialect, "")
    messages = found(f"{head}jobs:\n  a:\n    {work}\n    needs: [nobody, broken]\n  broken: 5\n", dialect)
    assert "Job 'a' depends on unknown job 'nobody'." in messages
    assert "Unexpected value '5'" in messages
    assert not [message for message in messages if "'broken'" in message]


def test_all_of_a_datatorch_step_is_told_at_once():
    text = """name: x
jobs:
  a:
    steps:
      - {name: one, action: bad name, inputs: {x: '${{ nope.x }}'}, timeout: soon, cache: maybe, if: nope.y}
      - {name: two, inputs: 5}
"""
    messages = " | ".join(found(text, "datatorch"))
    for said in ("'bad name' names no action", "named-value: 'nope'", "'soon'", "'maybe'", "nope.y", "missing: action", "'5'"):  # fmt: skip
        assert said in messages
