"""The files of `flows/`, run here and by a real server with a real agent: what came out is the same, and as it is expected."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.datatorch import SHOW_PY, Bench
from support.git import make_repository
from support.lab import Lab

FLOWS = Path(__file__).parent / "flows"
EVENT = {"fileId": 7, "flowData": {"points": [[1, 2], [3, 4]]}, "annotationId": "a-1"}
POINTS = [[1, 2.5], [3, 4]]

# By file: the steps that ended well, by name, and what each gave; of `seen`, what is named here.
EXPECTED: dict[str, dict[str, dict[str, Any]]] = {
    "average.yml": {"add": {"sum": 30}, "halve": {"result": 15}},
    "average.json": {"add": {"sum": 3}, "halve": {"result": 1.5}},
    "button.yml": {
        "file": {"seen": {"value": 7}},
        "points": {"seen": {"value": [[1, 2], [3, 4]], "annotation": "a-1"}},
    },
    "commands.yml": {
        "cmd": {"text": "it's; $(id)", "length": 11},
        "script": {"text": "bx"},
        "node": {"result": 3},
        "commandline": {"text": "", "length": 0},
        "shell": {"text": "x", "length": 1},
    },
    "conditions.yml": {"add": {"sum": 3}, "yes": {"sum": 0}, "always": {"sum": 10}},
    "contexts.yml": {
        "show": {
            "seen": {
                "pipeline": "Contexts/Contexts", "run": "Contexts #1", "trigger": "manual", "step": "show", "config": "The job",
                "action": "Show@v1", "job": "The job", "os": "Linux", "python": "CPython",
            }
        }
    },
    "fails.yml": {"cleans up": {"sum": 2}, "good": {"sum": 3}},
    "forms.yml": {"full": {"sum": 3}, "untagged": {"sum": 4}, "latest": {"sum": 5}, "file": {"given": 1, "word": "one"}},
    "kinds.yml": {
        "make": {"seen": {"value": {"points": POINTS, "is_on": True, "nobody": None, "text": "1"}}},
        "whole": {"seen": {"value": POINTS}},
        "member": {"seen": {"value": 2.5, "dotted": [3, 4]}},
        "within": {"seen": {"value": "p=2.5 on=true"}},
        "inside": {"seen": {"value": [POINTS, {"a": "1"}]}},
    },
    "lines.yml": {
        "lines": {"ok": [1, {}], "two words": "x", "plain": "text"},
        "show": {"seen": {"value": [1, {}], "plain": "text"}},
    },
    "names.yaml": {
        "Add two numbers": {"sum": 3},
        "by name": {"seen": {"value": 3}},
        "by id": {"seen": {"value": 3}},
        "Run datatorch-actions/echo@v1": {},
    },
    "needs.yml": {"add": {"sum": 3}, "show": {"seen": {"value": {"a": 1, "b": 2, "sum": 3}, "n": 3}}},
    "of-githubs.yml": {
        "Run echo LATER=yes >> $GITHUB_ENV": {},
        'Run echo "text=$LATER" >> $GITHUB_OUTPUT': {"text": "yes"},
        "composite": {"said": "yes of Actions of GitHub's"},
        "node": {"depth": "3", "list": "[1, 2]", "step": "node 3"},
        "show": {"seen": {"value": "yes of Actions of GitHub's"}},
    },
    "older.yml": {"first": {"seen": {"a": 3, "b": 4}}, "add": {"sum": 7}, "all": {"seen": {"value": 7}}},
    "parallel.yml": {"one": {"sum": 2}, "two": {"sum": 4}, "three": {"sum": 6}},
    "timeout-and-cache.yml": {"add": {"sum": 3}, "again": {"sum": 3}},
    "triggers.yml": {"add": {"sum": 3}},
    "typed.yml": {
        "cast": {
            "seen": {
                "string": "5", "float": 1.5, "integer": 7, "boolean": False, "array": [1, 2], "list": ["a"],
                "level": "high", "old": "x", "templated": "Inputs of every type 7",
            }
        },
        "defaults": {"seen": {"float": 0.5, "integer": 1, "boolean": True, "array": [], "level": "low"}},
    },
}  # fmt: skip
FAILING = ("fails.yml",)


class Shared:
    """One bench, server and agent for all of the files."""

    def __init__(self, bench: Bench, lab: Lab) -> None:
        self.bench = bench
        self.lab = lab
        self.api = httpx.Client(
            base_url=f"{lab.url}/api/v1", headers={"Authorization": f"Bearer {lab.admin_token}"}
        )

    def submit(self, file: Path, *options: str) -> int:
        return self.lab.submit(file, "--source", "none", *options)

    def steps_of(self, run: int) -> dict[str, dict[str, Any]]:
        """The run's steps that ended well, by name, with what they gave."""
        found = {}
        for job in self.lab.run(run)["jobs"]:
            for step in self.api.get(f"/jobs/{job['id']}").json()["steps"]:
                if step["conclusion"] == "success":
                    found[step["name"]] = step["outputs"]
        return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("datatorch")
    bench = Bench(folder)
    (folder / "lab").mkdir()
    with Lab(folder / "lab") as lab:
        lab.start_server()
        lab.add_agent("box", environment={"AGENT_ACTIONS_URL": bench.actions_url})
        made = Shared(bench, lab)
        yield made
        made.api.close()


def pick(outputs: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Of what a step gave, what is expected: all of it, but for `seen` and `env`, which tell everything."""
    given = {name: value for name, value in outputs.items() if name != "env"}
    if "seen" in expected and "seen" in given:
        given["seen"] = {name: given["seen"].get(name) for name in expected["seen"]}
    return given


def pick_all(steps: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> dict[str, Any]:
    own = {name: outputs for name, outputs in steps.items() if name not in ("Set up job", "Complete job")}
    return {name: pick(outputs, expected.get(name, {})) for name, outputs in own.items()}


def test_every_file_is_expected_to_give_something() -> None:
    assert {file.name for file in FLOWS.iterdir()} == set(EXPECTED)
    assert len(EXPECTED) >= 15


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_file_gives_the_same_here_and_at_a_server(shared: Shared, name: str) -> None:
    event = shared.bench.project / "event.json"
    event.write_text(json.dumps(EVENT))
    more = ("--event-file", str(event)) if name == "button.yml" else ()
    ran = shared.bench.run((FLOWS / name).read_text(), *more, name=name)
    here = {step: end["outputs"] for step, end in ran.steps.items() if end["conclusion"] == "success"}
    assert pick_all(here, EXPECTED[name]) == EXPECTED[name], ran.log
    assert ran.code == (1 if name in FAILING else 0)

    run = shared.lab.wait_for_run(shared.submit(shared.bench.project / name, *more))
    assert run["conclusion"] == ("failure" if name in FAILING else "success"), run
    assert pick_all(shared.steps_of(run["id"]), EXPECTED[name]) == EXPECTED[name]


def test_a_named_webhook_starts_the_flow_of_a_button_and_its_body_is_the_event(shared: Shared) -> None:
    lab, file = shared.lab, shared.bench.write((FLOWS / "button.yml").read_text(), "button.yml")
    assert lab.agent("flow", "store", file).code == 0
    made = lab.agent("server", "webhook", "add", "dextr", "--flow", "button", "--format", "json").json()
    answer = httpx.post(made["url"], json=EVENT, headers={"Authorization": f"Bearer {made['secret']}"})
    assert answer.status_code in (200, 201, 202), answer.text
    run = lab.wait_for_run(answer.json()["run"])
    assert (run["event"], run["conclusion"]) == ("annotatorButton", "success")
    assert pick_all(shared.steps_of(run["id"]), EXPECTED["button.yml"]) == EXPECTED["button.yml"]


def test_two_flows_of_one_name_are_refused_and_the_same_file_may_be_stored_again(shared: Shared) -> None:
    lab, text = shared.lab, (FLOWS / "average.yml").read_text()
    first = shared.bench.write(text, "first.yml")
    assert [lab.agent("flow", "store", first).code for _ in range(2)] == [0, 0]
    other = lab.agent("flow", "store", shared.bench.write(text, "second.yml"))
    assert other.code == 2
    assert "the project has a flow 'Average of 10 and 20' already: first (second)" in other.err
    assert "its `name` is one flow's" in other.err


def test_a_stored_flow_is_started_by_name_and_knows_its_project(shared: Shared) -> None:
    text = (
        "name: Project\njobs: {a: {steps: [{name: show, action: datatorch/show@v1,"
        " inputs: {value: '${{ pipeline.projectId }} ${{ pipeline.creatorId }} ${{ agent.name }}'}}]}}\n"
    )
    lab = shared.lab
    assert lab.agent("flow", "store", shared.bench.write(text, "project.yml")).code == 0
    started = lab.agent("flow", "start", "project", "--format", "json").json()
    run = lab.wait_for_run(started["run"])
    seen = shared.steps_of(run["id"])["show"]["seen"]["value"]
    assert seen == f"1 {run['actor']} box"


def test_a_servers_secrets_reach_the_actions_that_name_them(shared: Shared) -> None:
    lab, bench = shared.lab, shared.bench
    manifest = "name: S\nenv: {TOKEN: {description: A key.}}\nruns: {using: python, main: show.py}\n"
    bench.publish("acme/secret", {"action-datatorch.yaml": manifest, "show.py": SHOW_PY})
    for name, value in (("TOKEN", "hunter2hunter2"), ("OTHER", "letmein99")):
        assert lab.agent("secret", "set", name, given=value).code == 0
    text = "name: Secrets\njobs: {a: {steps: [{name: named, action: acme/secret@v1}, {name: show, action: datatorch/show@v1}]}}\n"
    run = lab.wait_for_run(shared.submit(bench.write(text, "secrets.yml")))
    steps = shared.steps_of(run["id"])
    assert (steps["named"]["env"], steps["show"]["env"]) == ({"TOKEN": "***"}, {"INPUT_VALUE": ""})


def test_an_action_of_the_flows_own_repository_runs_at_a_server(shared: Shared, tmp_path: Path) -> None:
    files = {
        "mine/action-datatorch.yaml": "name: Mine\nruns: {using: script, main: run.sh}\n",
        "mine/run.sh": "echo ::said::1; ls\n",
        "flow.yml": "name: Own\njobs: {a: {steps: [{name: own, action: ./mine}]}}\n",
    }
    repository = make_repository(tmp_path / "own", files)
    run = shared.lab.wait_for_run(shared.lab.submit(repository.folder / "flow.yml", "--source", "snapshot"))
    assert run["conclusion"] == "success", run
    assert shared.steps_of(run["id"])["own"] == {"said": 1}
