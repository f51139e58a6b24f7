"""Actions of DataTorch's: the module that they import, new ones, and their use in flows of GitHub's."""

import json

import pytest
from support.datatorch import Bench

IMPORTS = """\
import json
from datatorch import ApiClient, agent, get_input, get_inputs, set_output
from datatorch.api import Annotation, BoundingBox
from datatorch.api.entity.sources.image import Segmentations
import datatorch.api.scripts.utils.simplify as simplify
import helper

set_output("one", get_input("path"))
set_output("other", get_inputs("nobody") is None and get_input("nobody", 5))
set_output("all", sorted(get_inputs()))
set_output("folder", bool(agent.directories().root))
set_output("helper", helper.NAME)
try:
    ApiClient("key")
except NotImplementedError as error:
    set_output("said", str(error))
print("no newline", end="")
set_output("late", 1)
"""


def flow(*steps: str) -> str:
    return "name: Test\njobs:\n  only:\n    steps:\n" + "".join(f"      - {step}\n" for step in steps)


def test_a_published_action_finds_the_module_that_it_imports(bench: Bench) -> None:
    manifest = "name: I\ninputs: {path: {type: string}, extra: {}}\nruns: {using: python, main: entry.py}\n"
    files = {"action-datatorch.yaml": manifest, "entry.py": IMPORTS, "helper.py": "NAME = 'beside it'\n"}
    bench.publish("acme/imports", files)
    ran = bench.run(flow("{name: imports, action: acme/imports@v1, inputs: {path: /a}}"))
    assert ran.code == 0, ran.log
    given = ran.outputs("imports")
    assert (given["one"], given["other"], given["all"]) == ("/a", 5, ["extra", "path"])
    assert (given["folder"], given["helper"], given["late"]) == (True, "beside it", 1)
    assert "datatorch.ApiClient speaks to a DataTorch server, and there is none here" in given["said"]


def test_the_module_is_for_actions_that_take_values_alone(bench: Bench) -> None:
    bench.publish(
        "acme/isolated",
        {"action.yml": "name: P\nruns: {using: python, main: main.py}\n", "main.py": "import datatorch\n"},
    )
    ran = bench.run(flow("{action: acme/isolated@v1}"))
    assert ran.code == 1
    assert any("No module named 'datatorch'" in line for line in ran.log)


def test_values_that_are_longer_than_an_argument_may_be_are_handed_over_as_far_as_they_can_be(
    bench: Bench,
) -> None:
    make = 'name: M\nruns: {using: cmd, command: \'printf "::big::\\"%0200000d\\"\\\\n" 0\'}\n'
    bench.publish("acme/big", {"action-datatorch.yaml": make})
    ran = bench.run(
        flow(
            "{name: big, action: acme/big@v1}",
            "{name: show, action: datatorch/show@v1, inputs: {value: small}}",
            "{name: too big, action: datatorch/show@v1, inputs: {value: '${{ variable.big }}'}}",
        )
    )
    assert ran.outputs("show")["seen"] == {"value": "small"}, "the others would not fit"
    assert ran.steps["too big"]["conclusion"] == "failure"
    assert any("longer together than a program's argument may be" in line for line in ran.log)


def test_a_github_flow_uses_it_and_reads_what_it_gives_as_text(bench: Bench) -> None:
    ran = bench.run(
        """\
on: push
jobs:
  a:
    runs-on: self-hosted
    outputs: {points: "${{ steps.show.outputs.seen }}"}
    steps:
      - {id: add, name: add, uses: datatorch-actions/add@v1, with: {a: 1, b: "2"}}
      - {id: show, name: show, uses: datatorch-actions/show@v1, with: {value: "${{ fromJSON('[1, {}]') }}"}}
      - name: reads
        run: |
          echo '${{ steps.add.outputs.sum == '3' }} ${{ fromJSON(steps.show.outputs.seen).value[0] }}'
      - {name: fails, uses: datatorch-actions/add@v1, with: {a: x}}
"""
    )
    assert ran.code == 1
    assert ran.outputs("add") == {"sum": 3}
    assert "true 1" in ran.log
    assert any("the input 'a' is an integer, not 'x'" in line for line in ran.log)
    assert json.loads(ran.of_kind("job")[0]["outputs"]["points"]) == {"value": [1, {}]}


def test_a_default_that_only_its_own_language_knows_is_told_in_another(bench: Bench) -> None:
    manifest = (
        'name: D\ninputs: {p: {default: "${{ pipeline.projectId }}"}}\nruns: {using: cmd, command: "true"}\n'
    )
    bench.publish("acme/default", {"action-datatorch.yaml": manifest})
    ran = bench.run("on: push\njobs: {a: {runs-on: self-hosted, steps: [{uses: acme/default@v1}]}}\n")
    assert any(
        "the default of the input 'p' can't be had here" in line and "give 'p' a value" in line
        for line in ran.log
    )


def test_a_default_of_an_action_reads_no_secret(bench: Bench) -> None:
    manifest = (
        'name: D\ninputs: {p: {default: "${{ secrets.TOKEN }}"}}\nruns: {using: cmd, command: "true"}\n'
    )
    bench.publish("acme/thief", {"action-datatorch.yaml": manifest})
    ran = bench.run(flow("{action: acme/thief@v1}"), "--secret", "TOKEN=hunter2hunter2")
    assert ran.code == 1
    assert any("`secrets.TOKEN` leads to nothing that is there" in line for line in ran.log)


@pytest.mark.parametrize("using", ["python", "node", "cmd", "script"])
def test_a_new_action_works_and_can_be_looked_at(bench: Bench, using: str) -> None:
    made = bench.agent("action", "init", "mine", "--manifest", "action-datatorch.yaml", "--using", using)
    assert made.code == 0, made.err
    bench.project = bench.project / "mine"
    ran = bench.run((bench.project / "test.yml").read_text(), name="test.yml")
    assert (ran.outputs("add"), ran.outputs("again")) == ({"sum": 30}, {"sum": 31})
    info = bench.agent("action", "info", "./", "--format", "json").json()
    assert [(one["name"], one["type"], one["required"]) for one in info["inputs"]] == [
        ("a", "float", True), ("b", "float", False),
    ]  # fmt: skip
    shown = bench.agent("action", "info", "./").out
    assert "a      (required)  (float) One number." in shown


def test_a_new_action_is_of_a_manifest_and_a_way_that_there_is(bench: Bench) -> None:
    wrong = bench.agent("action", "init", "x", "--manifest", "action.toml")
    assert (wrong.code, "no action begins with 'action.toml'" in wrong.err) == (2, True)
    wrong = bench.agent("action", "init", "x", "--using", "cmd")
    assert (wrong.code, "there is no beginning that runs 'cmd'" in wrong.err) == (2, True)
    wrong = bench.agent("action", "init", "x", "--manifest", "action-datatorch.yaml", "--using", "composite")
    assert (wrong.code, "no action-datatorch.yaml runs 'composite'" in wrong.err) == (2, True)
    asked = bench.agent("action", "init", "asks", "--manifest", "action-datatorch.yaml", "--using", "human")
    assert asked.code == 0
    assert "using a person" in bench.agent("action", "info", "./asks").out


def test_what_is_odd_in_a_manifest_is_told_with_its_place(bench: Bench) -> None:
    bench.write("name: N\nrunz: x\nruns: {using: cmd, command: a}\n", "mine/action-datatorch.yaml")
    done = bench.agent("action", "info", "./mine")
    assert "mine/action-datatorch.yaml:2:1: warning: 'runz' means nothing here\n" in done.err
    assert "did you mean `runs`?" in done.err
    bench.write("name: N\nruns: {using: cmd, command: 'echo ${{ input.x }}'}\n", "mine/action-datatorch.yaml")
    done = bench.agent("action", "info", "./mine")
    assert done.code != 0
    assert "`input` in a command is an injection" in done.err
    assert "action-datatorch.yaml:2:29" in done.err
