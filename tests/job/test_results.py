"""Steps whose action has run before with the same inputs take over what that gave: in a folder, as local runs keep it."""

from pathlib import Path

import pytest
from support.git import Repository, make_repository
from support.jobs import JobReport, run_job, script, uses, write_action

from agent.spec.job import StepSpec

ADD = """
name: Add
cache: true
inputs: {a: {default: '1'}, b: {default: '2'}}
outputs: {sum: {value: '${{ steps.inner.outputs.sum }}'}}
runs:
  using: composite
  steps:
    - id: inner
      shell: bash
      run: |
        echo run >> "$COUNT"
        echo "sum=$((${{ inputs.a }} + ${{ inputs.b }}))" >> "$GITHUB_OUTPUT"
"""
READS = script("reads", "echo sum ${{ steps.add.outputs.sum }}")


@pytest.fixture
def add(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "git" / "acme" / "add", {"action.yml": ADD})


def run_twice(
    tmp_path: Path, *steps: StepSpec, again: tuple[StepSpec, ...] = (), **options: object
) -> JobReport:
    """The second of two jobs."""
    settings = {"actions_urls": (f"file://{tmp_path}/git/{{owner}}/{{repo}}",)}
    given = {"settings": settings, "env": ({"COUNT": str(tmp_path / "count")},), **options}
    run_job(tmp_path, *steps, **given)
    return run_job(tmp_path, *(again or steps), **given)


def count(tmp_path: Path) -> int:
    return len((tmp_path / "count").read_text().splitlines())


def test_an_equal_step_is_found_and_its_action_does_not_run(tmp_path: Path, add: Repository) -> None:
    report = run_twice(tmp_path, uses("add", "acme/add@v1", with_={"a": "3"}), READS)
    assert count(tmp_path) == 1
    assert report.output_of("reads") == ["sum 5"]
    assert report.own_steps() == {"add": "success", "reads": "success"}
    assert "Found: outputs of a run on this machine, step Run acme/add@v1 of 20" in report.log("add")


def test_other_inputs_another_commit_and_another_word_are_another_step(
    tmp_path: Path, add: Repository
) -> None:
    first = uses("add", "acme/add@v1")
    run_twice(tmp_path, first, again=(uses("add", "acme/add@v1", with_={"b": "7"}),))
    assert count(tmp_path) == 2
    add.commit({"README.md": "new"}, tags=["v1"])
    run_twice(tmp_path, first)
    assert count(tmp_path) == 3
    run_twice(tmp_path, uses("add", "acme/add@v1", is_cached=False))
    assert count(tmp_path) == 5


def test_a_step_may_ask_for_what_its_action_does_not(tmp_path: Path) -> None:
    make_repository(
        tmp_path / "git" / "acme" / "add", {"action.yml": ADD.replace("cache: true", "cache: false")}
    )
    run_twice(tmp_path, uses("add", "acme/add@v1"))
    assert count(tmp_path) == 2
    run_twice(tmp_path, uses("add", "acme/add@v1", is_cached=True))
    assert count(tmp_path) == 3


def test_an_action_of_the_workspace_has_no_commit_and_always_runs(tmp_path: Path) -> None:
    write_action(tmp_path / "ws", "add", ADD)
    settings = {"workspace": tmp_path / "ws"}
    report = run_twice(tmp_path, uses("add", "./add"), settings=settings)
    assert count(tmp_path) == 2
    assert "only an action of a commit is the same the next time" in report.log("add")


def test_a_secret_among_the_inputs_is_kept_nowhere(tmp_path: Path, add: Repository) -> None:
    step = uses("add", "acme/add@v1", with_={"a": "${{ secrets.A }}"})
    report = run_twice(tmp_path, step, secrets={"A": "4711"})
    assert count(tmp_path) == 2
    assert report.log("add").count("a secret is among its inputs") == 1
    assert not list((tmp_path / "work" / "_results").glob("*"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("exit 1", ""),
        ('echo "X=1" >> "$GITHUB_ENV"', "it changed the environment of the steps that follow"),
        ("echo sum=$(head -c 70000 /dev/zero | tr '\\0' x) >> \"$GITHUB_OUTPUT\"", "over 65536 bytes"),
    ],
)
def test_what_failed_or_did_more_than_give_outputs_is_not_kept(tmp_path: Path, line: str, said: str) -> None:
    make_repository(tmp_path / "git" / "acme" / "add", {"action.yml": f"{ADD}        {line}\n"})
    report = run_twice(tmp_path, uses("add", "acme/add@v1"))
    assert count(tmp_path) == 2
    assert said in report.log("add")


def test_a_damaged_file_is_no_result(tmp_path: Path, add: Repository) -> None:
    run_twice(tmp_path, uses("add", "acme/add@v1"))
    (file,) = (tmp_path / "work" / "_results").glob("*.json")
    file.write_text("{")
    run_twice(tmp_path, uses("add", "acme/add@v1"))
    assert count(tmp_path) == 2
