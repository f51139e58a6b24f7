"""A flow that is written in GitHub's language means there what it meant, or what has no equal is said with its place."""

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from support.flows import Run

from agent.flow.expressions import evaluate_template
from agent.flow.load import find_front_end, inspect_flow, load_flow
from agent.flow.model import Flow, Position, Starts, Trigger, TriggerKind
from agent.flow.problems import Severity
from agent.ids import RunId
from agent.plan.request import RunRequest, make_start
from agent.spec.data import KeepKind
from agent.spec.job import JobSpec

BEHAVIOURS = sorted((Path(__file__).parents[2] / "behaviour").glob("*/*.yml"))


def write(flow: Flow) -> tuple[str, list[str], list[str]]:
    """The text, what has no equal, and what is a little different."""
    front_end = find_front_end("github")
    assert front_end.write is not None
    written = front_end.write(flow)
    by_severity = {
        severity: [
            f"{loss.position.line}: {loss.message}" for loss in written.losses if loss.severity is severity
        ]
        for severity in Severity
    }
    return written.text, by_severity[Severity.ERROR], by_severity[Severity.WARNING]


def strip(value: object) -> object:
    """Data of the model without places and what the file was."""
    if isinstance(value, Position):
        return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {
            name: strip(item)
            for name, item in fields.items()
            if name not in ("dialect", "file", "outputs_read")
        }
    if isinstance(value, Mapping):
        return {key: strip(item) for key, item in value.items()}
    return [strip(item) for item in value] if isinstance(value, (list, tuple)) else value


def test_every_flow_of_the_behaviours_is_written_and_read_again_as_it_was() -> None:
    checked = 0
    for file in BEHAVIOURS:
        flow, _ = inspect_flow(file.read_text().split("\n---\n")[0] + "\n", file.name)
        if flow is None:
            continue
        text, losses, _ = write(flow)
        assert losses == [], file
        again, problems = inspect_flow(text, file.name, "github")
        assert again is not None, (file, problems)
        assert strip(again) == strip(flow), file
        checked += 1
    assert checked > 250


GRADIENT = """
    on: {github: {branches: {only: [main, release]}}}
    name: Count
    defaults:
      env: {HELLO: secret:hello}
      resources: {instance-type: P4000}
    inputs:
      data: {type: dataset, with: {ref: test-one}}
      echo: {type: string, with: {value: "it's"}}
    jobs:
      clone:
        outputs: {repo: {type: volume}}
        uses: git-checkout@v1
        with: {url: context.event.github.url}
      job-1:
        needs: [clone]
        timeout: 2h
        inputs: {data: workflow.inputs.data, echo: workflow.inputs.echo, repo: clone.outputs.repo}
        outputs: {data2: {type: dataset, with: {ref: test-two}}, echo2: {type: string}}
        env: {TSTVAR: test, SHA: context.event.github.sha}
        uses: container@v1
        with: {image: "bash:5", command: bash, args: [-c, "echo 'a b' \\"$HELLO\\" '${{ x }}'\\nls", on, 0o14, "1.10", ""]}
      job-2:
        needs: [job-1]
        inputs: {data2: job-1.outputs.data2, echo2: job-1.outputs.echo2}
        uses: script@v1
        with:
          image: bash:5
          script: |-
            # a comment: yes
            cat /inputs/echo2
    """


def compile_jobs(flow: Flow, event: str) -> dict[str, JobSpec]:
    request = RunRequest(
        event=event, vars={"MACHINE_TYPES": '{"P4000": {"labels": ["gpu"], "resources": {"gpus": 1}}}'}
    )
    start = make_start(flow, request, run=RunId(1), number=1, seed=b"0123456789abc", secrets=("hello",))
    run, found = Run(flow, start), {}
    for key in flow.jobs:
        found[key] = run.spec(key)
        kept = [keep for keep in found[key].keeps if keep.kind in (KeepKind.TEXT, KeepKind.DATASET)]
        run.finish(key, **{keep.name: f"{keep.name}:7" for keep in kept})
    return found


def normalize(spec: JobSpec) -> Any:
    """A specification without places and words of the language; a list of words and the line that makes them are one."""

    def to_words(step: Any) -> Any:
        args = evaluate_template(step.with_.get("args", []), {})
        words = shlex.split(args) if isinstance(args, str) else args
        return replace(step, place="", with_={**step.with_, "args": words})

    return replace(
        spec, job="", work=tuple(to_words(step) for step in spec.steps), contexts={}, conventions="", version=0,
        brings=tuple(replace(bring, place="") for bring in spec.brings), keeps=tuple(replace(keep, place="") for keep in spec.keeps),
        env=tuple({name: value for name, value in env.items() if name != "SHA"} for env in spec.env),
    )  # fmt: skip


@pytest.mark.parametrize(("event", "there"), [("manual", "workflow_dispatch"), ("push", "push")])
def test_a_gradient_workflow_asks_of_agents_the_same_when_it_is_githubs(event: str, there: str) -> None:
    flow = load_flow(dedent(GRADIENT), "count.yaml").flow
    text, losses, differences = write(flow)
    assert losses == []
    assert differences == [
        "21: there a container begins in the workspace with HOME=/github/home, and here where its image says"
    ]
    again = load_flow(text, "count.yml", dialect="github").flow
    assert [trigger.event for trigger in again.triggers] == ["push", "workflow_dispatch"]
    one, other = compile_jobs(flow, event), compile_jobs(again, there)
    assert list(one) == list(other)
    for key in one:
        expected, found = normalize(one[key]), normalize(other[key])
        assert found == expected
    assert other["job-1"].env[1]["SHA"] == "${{ github.sha }}"


def lose(flow: Flow) -> list[str]:
    return write(flow)[1]


def test_what_has_no_equal_is_said_with_its_place() -> None:
    text = dedent(
        """
        jobs:
          1st:
            uses: container@v1
            with: {image: i, args: [-c, secret:S]}
          share:
            inputs: {v: {type: volume}}
            uses: container@v1
            env: {A: context.event.nothing.there}
            with: {image: i}
        """
    )
    assert lose(load_flow(text, "f.yaml").flow) == [
        (
            "3: The identifier '1st' is invalid. IDs may only contain alphanumeric characters, '_', and '-'. "
            "IDs must start with a letter or '_' and and must be less than 100 characters."
        ),
        "4: `${{ secrets.S }}` is one word, and could be several there: an expression's value is split with the line",
        (
            "6: `context.event.nothing.there` means nothing to GitHub: Unrecognized named-value: 'context'. "
            "Located at position 1 within expression: context.event.nothing.there"
        ),
        "6: what lies at /inputs/v is shared among jobs",
    ]


def test_forms_of_other_languages_have_no_equal() -> None:
    flow = load_flow("on: push\njobs: {a: {runs-on: x, steps: [{run: x}]}}", "f.yml").flow
    job = flow.jobs["a"]
    place = job.position
    step = replace(job.steps[0], is_cached=True, with_={})
    changed = replace(
        flow,
        starts=Starts.CHOSEN,
        triggers=(
            Trigger(
                "by-button",
                place,
                TriggerKind.BY_HAND,
                role="maintainer",
                form={"properties": {"a": {"type": "array"}}},
            ),
            Trigger("annotated", place),
            Trigger("told", place, TriggerKind.NAMED),
        ),
        jobs={"a": replace(job, steps=(step,), sees_all_secrets=True)},
    )
    assert lose(changed) == [
        "2: who may start it ('maintainer') can't be said there",
        "2: a form that asks for more than plain values does not exist there",
        "2: nothing starts by 'annotated' there",
        "2: a program that tells this flow alone of 'told' does not exist there",
        "2: all jobs of a flow run there, and here those that are named",
        "2: each secret is a variable of the job, and there those alone that it names",
        "2: the outputs of an equal run can't be taken there",
    ]


@pytest.mark.parametrize(
    "text", ["on", "yes", "0o14", "0x1F", "1.10", "~", "null", "", " x", "a: b", "- x", "# x", "a\nb", "a\n\n", " a\nb", "é\u2028x", "a \nb", "x" * 300, "'", '"\\']
)  # fmt: skip
def test_a_text_is_that_text_when_it_is_read_again(text: str) -> None:
    flow = load_flow("on: push\njobs: {a: {runs-on: x, steps: [{run: x}]}}", "f.yml").flow
    job = flow.jobs["a"]
    changed = replace(
        flow, jobs={"a": replace(job, env={"A": text}, steps=(replace(job.steps[0], run=text or "x"),))}
    )
    again = load_flow(write(changed)[0], "f.yml").flow.jobs["a"]
    assert (again.env, again.steps[0].run) == ({"A": text}, text or "x")


WHOLE = """
name: Whole
run-name: by ${{ github.actor }}
on:
  push: {branches: [main], paths-ignore: ['docs/**']}
  schedule: [{cron: '5 4 * * *'}, {cron: '0 0 * * 1', timezone: Europe/Berlin}]
  workflow_call:
    inputs: {size: {type: number, required: true, description: How large}, kind: {type: string, default: a}}
    outputs: {o: {value: '${{ jobs.a.outputs.o }}'}}
    secrets: {KEY: {required: true}, OTHER: {required: false}}
  workflow_dispatch:
    inputs: {choice: {type: choice, options: [x, 'on'], default: x}}
  workflow_run: {workflows: [CI], types: [completed]}
permissions: {contents: read}
env: {A: '1'}
defaults: {run: {shell: bash}}
concurrency: {group: 'g-${{ github.ref }}', cancel-in-progress: true}
jobs:
  a:
    runs-on: {group: big, labels: [gpu]}
    outputs: {o: '${{ steps.s.outputs.o }}'}
    defaults: {run: {working-directory: src}}
    concurrency: {group: x, queue: max}
    brings:
      - {tag: best, project: other, path: in/tag}
      - {last: train, flow: ./train.yml, name: model, optional: true, read-only: true}
      - {dataset: 'images:3', path: /inputs/images}
      - {cache: pip, path: ~/.cache/pip}
      - {text: hello, path: t.txt}
    keeps: [model, {path: /outputs/d, name: d, as: dataset}, {path: log, always: true, live: true}, {path: t.txt, as: text, name: t}]
    apps: {notebook: {port: 8888, opens: '/lab?token=x'}, board: {}, other: 6006}
    steps: [{id: s, run: x}]
  b:
    needs: a
    uses: ./inner.yml
    with: {x: '${{ needs.a.outputs.t }}'}
    secrets: inherit
  c:
    needs: [a]
    uses: owner/repo/.github/workflows/f.yml@v1
    secrets: {K: '${{ secrets.K }}'}
"""


def test_a_flow_with_every_form_of_trigger_call_and_data_is_written_as_it_was() -> None:
    flow = load_flow(WHOLE, "whole.yml").flow
    text, losses, _ = write(flow)
    assert losses == []
    assert strip(load_flow(text, "whole.yml").flow) == strip(flow)
