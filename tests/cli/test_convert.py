"""`agent flow convert`: a flow in another language, or the list of what has no equal there."""

from pathlib import Path

import pytest
from support.lab import run_agent

COUNT = """\
inputs: {echo: {type: string, with: {value: hi}}}
jobs:
  count:
    inputs: {echo: workflow.inputs.echo}
    outputs: {said: {type: string}}
    uses: script@v1
    with:
      image: bash:5
      script: |-
        wc -c /inputs/echo
        echo "it's" > /outputs/said
"""


def test_the_flow_is_printed_and_what_differs_is_said_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "count.yaml"
    file.write_text(COUNT)
    done = run_agent("flow", "convert", file, "--to", "github")
    assert done.code == 0, done.err
    assert "there a container begins in the workspace" in done.err
    assert f"{file}:6:11: warning" in done.err
    (tmp_path / "count.yml").write_text(done.out)
    checked = run_agent("flow", "validate", tmp_path / "count.yml")
    assert (checked.code, checked.out) == (0, "1 flow is valid\n")
    shown = run_agent("flow", "show", tmp_path / "count.yml", "--format", "json").json()
    assert (shown["dialect"], shown["on"], [job["id"] for job in shown["jobs"]]) == (
        "github", ["workflow_dispatch"], ["count"],
    )  # fmt: skip


def test_what_has_no_equal_is_listed_with_its_place_and_nothing_is_printed_as_a_flow(tmp_path: Path) -> None:
    file = tmp_path / "count.yaml"
    file.write_text(COUNT.replace("  count:", "  1st-count:"))
    done = run_agent("flow", "convert", file)
    assert done.code == 1
    assert done.out.startswith(f"{file}:3:3: The identifier '1st-count' is invalid.")
    assert "jobs:" not in done.out
    assert f"agent: 1 thing has no equal there ({file})" in done.err
    told = run_agent("flow", "convert", file, "--format", "json").json()
    assert told["text"] is None
    assert [(loss["line"], loss["severity"]) for loss in told["losses"]] == [(3, "error"), (6, "warning")]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (COUNT, ("--to", "gradient"), "no flow is written in the language 'gradient'"),
        (COUNT, ("--to", "cobol"), "no flow is written in the language 'cobol'"),
        (COUNT.replace("script@v1", "scrip@v1"), (), "there is no action 'scrip@v1'"),
    ],
)
def test_wrong_use_is_told(text: str, options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    file = tmp_path / "count.yaml"
    file.write_text(text)
    done = run_agent("flow", "convert", file, "--dialect", "gradient", *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_records_that_stream_have_no_equal_there_which_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "relay.yml"
    file.write_text("name: f\nstages: [{name: a, action: manual, out: b}, {name: b, action: noop}]\n")
    done = run_agent("flow", "convert", file)
    assert done.code == 1
    assert done.out.splitlines() == [
        (
            f"{file}:1:1: records stream through the stages of this flow for as long as it runs, and there a job has steps; "
            "`agent flow deploy` runs it as it is"
        )
    ]
