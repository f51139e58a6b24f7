"""`action-datatorch.yaml`: what it may say, what is wrong with it at its place, and which of a folder's manifests counts."""

from pathlib import Path
from textwrap import dedent

import pytest

from agent.resolve import (
    CommandRuns,
    DockerRuns,
    HumanRuns,
    NodeRuns,
    PythonRuns,
    ScriptRuns,
    check_manifest,
    read_manifest,
)
from agent.resolve.manifests.model import ActionManifest, InvalidActionError

FILE = "action-datatorch.yaml"
DEXTR = """\
name: DEXTR
author: A lab
description: Finds what lies between four points.
cache: true
inputs:
  imagePath: {type: string, description: The image., required: true}
  points: {required: true}
  url: {type: string, default: "http://localhost:3445"}
  project: {default: "${{ pipeline.projectId }}"}
  simplify: {type: float, default: 1.5, options: [1.5, 2]}
  shape: {type: list, deprecationMessage: Give points.}
outputs:
  segmentation: {type: string, description: As text., multiline: true}
env:
  API_KEY: {description: Of the service.}
  OTHER:
runs: {using: python, main: /entry.py}
"""


def read(tmp_path: Path, text: str) -> ActionManifest:
    (tmp_path / FILE).write_text(dedent(text))
    return read_manifest(tmp_path, "action")


def runs(tmp_path: Path, text: str) -> object:
    return read(
        tmp_path,
        f"name: N\noutputs: {{ok: {{type: boolean, description: Fine?}}, why: {{options: [a, b]}}}}\nruns: {text}",
    ).runs


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(InvalidActionError) as caught:
        read(tmp_path, text)
    return [f"{one.position.line}:{one.position.column}: {one.message}" for one in caught.value.problems]


def oddities(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / FILE).write_text(dedent(text))
    return [
        f"{one.position.line}:{one.position.column}: {one.message}"
        for one in check_manifest(tmp_path, "action")
    ]


def test_a_manifest_is_read_in_full(tmp_path: Path) -> None:
    found = read(tmp_path, DEXTR)
    assert (found.name, found.conventions, found.is_cached, found.env) == (
        "DEXTR", "datatorch", True, ("API_KEY", "OTHER"),
    )  # fmt: skip
    assert {name: (one.type, one.required, one.default) for name, one in found.inputs.items()} == {
        "imagePath": ("string", True, None), "points": ("", True, None), "url": ("string", False, "http://localhost:3445"),
        "project": ("", False, "${{ pipeline.projectId }}"), "simplify": ("float", False, 1.5), "shape": ("array", False, None),
    }  # fmt: skip
    assert found.inputs["simplify"].options == (1.5, 2)
    assert found.inputs["shape"].deprecation_message == "Give points."
    assert found.runs == PythonRuns("entry.py", is_isolated=False)
    assert oddities(tmp_path, DEXTR) == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{using: cmd, command: 'echo ${#A} $B'}", CommandRuns("echo ${#A} $B")),
        ("{using: commandline, command: a}", CommandRuns("a")), ("{using: shell, command: a}", CommandRuns("a")),
        ("{using: cmd, command: 'cat ${{ action.directory }}/x'}", CommandRuns("cat ${{ action.directory }}/x")),
        ("{using: script, main: run.sh a 'b c'}", ScriptRuns("run.sh", ("a", "b c"))),
        ("{using: script, script: /run.sh}", ScriptRuns("run.sh")),
        ("{using: node, main: a.js}", NodeRuns(20, "a.js")), ("{using: Python, main: a.py}", PythonRuns("a.py", is_isolated=False)),
        ("{using: docker, image: 'acme/x:1'}", DockerRuns("docker://acme/x:1", takes_words=False)),
        ("{using: docker, image: 'docker://acme/x'}", DockerRuns("docker://acme/x", takes_words=False)),
        ("{using: docker, image: Dockerfile}", DockerRuns("Dockerfile", takes_words=False)),
    ],
)  # fmt: skip
def test_each_way_to_run(tmp_path: Path, written: str, meant: object) -> None:
    assert runs(tmp_path, written) == meant


def test_a_person_is_asked_for_the_declared_outputs(tmp_path: Path) -> None:
    assert runs(tmp_path, "{using: human}") == HumanRuns(
        {
            "type": "object",
            "title": "N",
            "properties": {
                "ok": {"type": "boolean", "description": "Fine?"},
                "why": {"type": "string", "enum": ["a", "b"]},
            },
            "required": ["ok", "why"],
        }
    )


@pytest.mark.parametrize(
    "path",
    [
        "input.a",
        "variable.a",
        "inputs.a",
        "event.x",
        "steps.a.output.b",
        "run.config",
        "job.name",
        "trigger.id",
    ],
)
def test_what_came_from_outside_may_not_become_part_of_a_command(tmp_path: Path, path: str) -> None:
    (found,) = problems(tmp_path, f"name: N\nruns:\n  using: cmd\n  command: echo ${{{{ {path} }}}}\n")
    root = path.split(".", maxsplit=1)[0].replace("inputs", "input")
    assert (
        found
        == f"4:12: `{root}` in a command is an injection: a shell would read whatever somebody gave as that value"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", ["1:1: A mapping was expected"]),
        ("author: A", ["1:1: Required property is missing: name", "1:1: Required property is missing: runs"]),
        ("name: N\nruns: {}", ["2:7: Missing 'using' value"]),
        ("name: N\nruns:", ["2:6: A mapping was expected"]),
        ("name: N\nruns: {using: ruby}", ["2:15: 'using: ruby' is not supported"]),
        ("name: N\nruns: {using: python}", ["2:7: Required property is missing: main"]),
        ("name: N\nruns: {using: docker, main: x}", ["2:7: Required property is missing: image"]),
        ("name: N\nruns: {using: human}", ["2:7: a form without fields: the action declares no outputs"]),
        ("name: N\ninputs: {a: {type: int}}\nruns: {using: cmd, command: a}", ["2:20: there is no type 'int'"]),
        ("name: N\ninputs: {a: {required: 'yes'}}\nruns: {using: cmd, command: a}", ["2:24: 'required' is true or false"]),
        ("name: N\ninputs: {a: {options: x}}\nruns: {using: cmd, command: a}", ["2:23: A sequence was expected"]),
        ("name: N\ninputs: {a: {default: '${{ a + 1 }}'}}\nruns: {using: cmd, command: a}",
         ["2:23: `a + 1` is neither a path nor a literal"]),
        ("name: N\nenv: {TOKEN: s3cr3t}\nruns: {using: cmd, command: a}",
         ["2:14: `env` names what the action needs, and holds no values: 'TOKEN' has one"]),
        ("name: N\nname: M\nruns: {using: cmd, command: a}", ["2:1: 'name' is already defined"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_all_at_once_at_its_place(tmp_path: Path, text: str, found: list[str]) -> None:
    assert problems(tmp_path, text) == found


def test_what_the_old_agent_ran_is_odd_and_no_more(tmp_path: Path) -> None:
    text = f"name: {'n' * 41}\ndescripton: x\ninputs: {{1a: {{typ: x}}}}\nruns: {{using: cmd, command: a, args: []}}\n"
    assert read(tmp_path, text).runs == CommandRuns("a")
    assert oddities(tmp_path, text) == [
        "1:7: `name` is longer than 40 characters",
        "2:1: 'descripton' means nothing here",
        "3:10: '1a' is no identifier",
        "3:15: 'typ' means nothing here",
        "4:32: 'args' means nothing here",
    ]


def test_the_folder_tells_in_which_language_an_action_is_written(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    assert read(tmp_path, DEXTR).name == "DEXTR", "a bare Dockerfile is an action only where nothing else is"
    (tmp_path / "action.yml").write_text("name: Theirs\nruns: {using: composite, steps: []}\n")
    assert read_manifest(tmp_path).name == "Theirs"
