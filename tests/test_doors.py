"""Doors for other flow languages: what lies behind the front ends runs a flow without knowing which language it is in."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from support.flows import Run, flow_of
from support.jobs import run_job, script

import agent
from agent.flow.dialect import Contexts, Dialect, RunFacts
from agent.flow.model import Trigger, TriggerKind
from agent.ids import RunId
from agent.plan import name_run
from agent.plan.request import RunRequest, make_start

ROOT = Path(agent.__file__).parent
# Words that only GitHub's language has, in code and in what it says to people; comments and docstrings cite as they like.
NAME = re.compile(r"github|workflow_(?:dispatch|call|run)(?![a-z])", re.IGNORECASE)
TEXT = re.compile(rf"{NAME.pattern}|(?-i:(?<![A-Z_])(?:RUNNER|ACTIONS)_[A-Z])|action\.ya?ml", re.IGNORECASE)
# The languages, and their tables; the words that their jobs expect, which are data.
KNOWING = (
    *("flow/dialects/", "flow/load.py", "flow/folders.py"),
    *(
        "resolve/manifests/github/",
        "resolve/manifests/__init__.py",
        "spec/conventions.py",
        "spec/services.py",
    ),
)
# How often each file behind the front ends still says such a word. The list may only shrink: what is new in a language goes
# into its folder of agent/flow/dialects, and reaches the others through `Dialect`, `FrontEnd` or the model.
# `python tests/test_doors.py` prints it as it is.
STILL_SAID: dict[str, int] = {
    "cli/action/command.py": 1,
    "cli/action/init.py": 2,
    "cli/client.py": 2,
    "cli/flow/command.py": 3,
    "cli/flow/eval.py": 1,
    "cli/local_run/jobs.py": 1,
    "cli/machine/lending.py": 1,
    "cli/machine/register.py": 1,
    "cli/server/triggers.py": 2,
    "config.py": 3,
    "job/commands/files.py": 2,
    "job/commands/meaning.py": 11,
    "job/containers/action_containers.py": 1,
    "job/folder/settings.py": 1,
    "job/handlers/composite.py": 4,
    "job/in_place/checkouts.py": 8,
    "job/steps/contexts.py": 15,
    "job/steps/inputs.py": 2,
    "job/steps/parts.py": 1,
    "job/steps/places.py": 4,
    "job/steps/state.py": 2,
    "job/steps/steprun.py": 9,
    "policy.py": 1,
    "resolve/resolver.py": 1,
    "server/api/webhooks.py": 4,
    "server/http/openapi.py": 1,
    "server/people/vault.py": 2,
    "server/runs/plan_states.py": 2,
    "server/runs/platform_events.py": 5,
    "server/store/retention.py": 1,
    "server/toolkit/artifacts.py": 3,
    "server/toolkit/caches.py": 1,
    "server/triggers/connected.py": 3,
    "server/triggers/locating.py": 2,
    "server/triggers/named.py": 1,
    "server/triggers/providers/__init__.py": 7,
    "server/triggers/providers/gitea.py": 2,
    "server/triggers/providers/github.py": 5,
    "server/triggers/repository_reading.py": 1,
    "server/triggers/signatures.py": 4,
    "server/triggers/statuses.py": 4,
}


def test_words_of_one_language_stand_in_its_own_folder_and_the_list_of_others_only_shrinks() -> None:
    said = count_words()
    more = {file: count for file, count in said.items() if count > STILL_SAID.get(file, 0)}
    assert more == {}, "say it in agent/flow/dialects/github, or in words that all languages have"
    fewer = {file: said.get(file, 0) for file, count in STILL_SAID.items() if said.get(file, 0) < count}
    assert fewer == {}, "well done: put the smaller numbers into STILL_SAID"


def test_the_planner_the_model_and_the_specification_know_nearly_nothing_of_any_language() -> None:
    rooms = ("plan/", "spec/", "wire/", "journal/")
    assert {file for file in STILL_SAID if file.startswith(rooms)} == set()


def test_a_run_of_another_language_has_that_languages_contexts_and_words_and_no_others() -> None:
    flow = replace(
        flow_of("train: {name: 'x', runs-on: gpu}"),
        dialect=OTHER,
        run_name="${{ pipeline.name }} of ${{ run.actor }}",
        triggers=(Trigger("by-button", flow_of("a: {runs-on: x}").jobs["a"].position, TriggerKind.BY_HAND),),
    )
    jobs = {"train": replace(flow.jobs["train"], name="${{ run.number }}, ${{ step.job }}")}
    flow = replace(flow, jobs=jobs, name="Average")
    start = make_start(
        flow, RunRequest(actor="ada", payload={"id": 7}), run=RunId(5), number=3, seed=b"seed", secrets=()
    )
    assert name_run(flow, start) == "Average of ada"
    run = Run(flow, start)
    spec = run.spec("train")
    assert spec.name == "3, train"
    assert spec.context("event") == {"id": 7, "name": "by-button"}
    assert set(spec.contexts) == {
        *("event", "pipeline", "run", "step"),
        *("inputs", "vars", "needs", "strategy", "matrix"),
    }
    run.finish("train")
    run.again(actor="bob", is_debug=True)
    again = run.spec("train")
    assert (again.context("run")["actor"], again.context("vars")) == ("bob", {"VERBOSE": "1"})


def test_a_step_reads_whatever_contexts_the_language_of_its_flow_brings(tmp_path: Path) -> None:
    brought = {"pipeline": {"name": "Average"}, "event": {"id": 7}}
    step = script("say", "echo '${{ pipeline.name }} ${{ event.id }}'")
    report = run_job(tmp_path, step, brought=brought)
    assert report.output_of("say") == ["Average 7"]


def _start(run: RunFacts) -> Contexts:
    return {
        "event": {**run.payload, "name": run.event},
        "pipeline": {"name": run.flow_name},
        "run": {"number": run.number, "actor": run.actor},
    }


OTHER = Dialect(
    "other",
    events=(),
    by_hand="by-button",
    by_hand_hint="add a button",
    conventions="github",
    debug_variables={"VERBOSE": "1"},
    start_contexts=_start,
    next_contexts=lambda contexts, _attempt, actor: {
        **contexts,
        "run": {**contexts["run"], "actor": actor},
    },
    job_contexts=lambda contexts, job: {**contexts, "step": {"job": job}},
    called_contexts=lambda contexts, _file: contexts,
)


def count_words() -> dict[str, int]:
    """How often each file of the rooms behind the front ends says a word of GitHub's language."""
    files = {file.relative_to(ROOT).as_posix(): file for file in sorted(ROOT.rglob("*.py"))}
    counts = {
        name: sum(_list_words(ast.parse(file.read_text(encoding="utf-8"))))
        for name, file in files.items()
        if not name.startswith(KNOWING)
    }
    return {name: count for name, count in counts.items() if count}


def _list_words(tree: ast.Module) -> Iterator[int]:
    """How many such words each name and each text of a module has, less its docstrings."""
    passed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            passed.add(id(getattr(node.body[0], "value", None)))
        match node:
            case ast.Constant(value=str(text)) if id(node) not in passed:
                yield len(TEXT.findall(text))
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name) | ast.arg(arg=name):
                yield len(NAME.findall(name))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield len(NAME.findall(name))
            case ast.keyword(arg=str(name)) | ast.ImportFrom(module=str(name)):
                yield len(NAME.findall(name))


if __name__ == "__main__":
    for counted, number in count_words().items():
        print(f'    "{counted}": {number},')  # noqa: T201 - run by hand
