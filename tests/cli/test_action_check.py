"""`agent action check`, as an author uses it: all that is wrong with an action at once, each at its place."""

from pathlib import Path
from typing import Any

import pytest
from support.git import Repository, make_repository
from support.lab import Done, run_agent

from agent.config import bundled

DESCRIBED = "name: x\ndescription: y\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "actions", {"README.md": "mine"})


def check(folder: Path, *words: str) -> Done:
    return run_agent("action", "check", *words, cwd=folder)


def problems_of(folder: Path, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = check(folder, *words, "--format", "json").json()
    return found


def says(folder: Path, text: str, name: str = "action.yml") -> list[tuple[str, str]]:
    """(severity and place, message) of each problem of a manifest with this text in `folder`."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(DESCRIBED + text)
    return [
        (f"{each['severity']} {each['line']}:{each['column']}", each["message"])
        for each in problems_of(folder)
    ]


def composite(*steps: str) -> str:
    return "runs:\n  using: composite\n  steps:\n" + "".join(f"    - {step}\n" for step in steps)


def test_all_that_is_wrong_is_said_at_once_with_its_place_and_its_line(repository: Repository) -> None:
    (repository.folder / "action.yml").write_text(
        DESCRIBED
        + "inputs: {who: {default: '${{ inputs.x }}'}}\noutputs: {said: {value: '${{ steps.no.outputs.x }}'}}\n"
        + composite("{run: 'echo ${{ secrets.TOKEN }}', shell: bash}", "{uses: nowhere}", "{run: x}")
    )
    done = check(repository.folder)
    assert done.code == 1
    places = [line.partition(": ")[0] for line in done.out.splitlines() if line.startswith("action.yml:")]
    assert places == [f"action.yml:{place}" for place in ("3:25", "4:25", "8:13", "9:14", "10:7")]
    assert "    - {run: 'echo ${{ secrets.TOKEN }}', shell: bash}\n" in done.out
    assert "declare an input, and let the caller write `with:" in done.out
    found = problems_of(repository.folder)
    assert [each["severity"] for each in found] == ["error", "warning", "error", "error", "error"]
    assert {*found[0]} == {"file", "line", "column", "severity", "message", "hint"}


def test_a_script_that_is_not_there_outside_or_not_in_git_is_said(repository: Repository) -> None:
    folder = repository.folder
    (folder / ".gitignore").write_text("dist\n")
    (folder / "dist").mkdir()
    (folder / "dist" / "main.js").write_text("1")
    found = says(folder, "runs: {using: node24, pre: gone.js, main: dist/main.js, post: ../../out.js}")
    assert found == [
        ("error 3:28", "there is no file 'gone.js'"),
        ("warning 3:43", "git does not have 'dist/main.js'"),
        ("error 3:63", "'../../out.js' lies outside of the action's repository"),
    ]
    repository.git("add", "--force", "dist/main.js")
    assert says(folder, "runs: {using: node24, main: dist/main.js}") == []
    assert check(folder).out == "the action is in order\n"


def test_a_dockerfile_and_its_entrypoint_are_looked_at(tmp_path: Path) -> None:
    folder = tmp_path / "action"
    runs = "runs: {using: docker, image: Dockerfile, entrypoint: /run.sh, args: ['${{ inputs.nobody }}']}"
    assert ("error 3:30", "there is no file 'Dockerfile'") in says(folder, runs)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "Dockerfile").write_text('FROM alpine\nCOPY run.sh /run.sh\nENTRYPOINT ["/run.sh"]\n')
    found = says(folder, runs)
    assert ("warning 3:54", "'run.sh' is the container's entrypoint and is not executable") in found
    assert any("`inputs.nobody` is always empty" in message for _, message in found)
    (folder / "run.sh").chmod(0o755)
    assert says(folder, runs.partition(", args")[0] + "}") == []
    (folder / "run.sh").unlink()
    (folder / "Dockerfile").write_text("FROM alpine\n")
    assert "nothing puts the entrypoint '/run.sh' into the image" in says(folder, runs)[0][1]


@pytest.mark.parametrize(
    ("uses", "severity", "message"),
    [
        ("./helper", "warning", "is a folder of the workspace of whoever uses this action"),
        ("$/nowhere", "error", "Can't find 'action.yml'"),
        ("$/broken", "error", "the action '$/broken' is not valid"),
        ("$/", "error", "the action uses itself"),
        ("flow-agent/chekout@v1", "error", "does not ship with this product"),
        ("acme/tool", "error", "Expected format"),
        ("$/helper", "warning", "requires the input 'who'"),
    ],
)
def test_the_actions_that_steps_use_are_looked_at(
    uses: str, severity: str, message: str, repository: Repository
) -> None:
    repository.commit(
        {
            "helper/action.yml": "inputs: {who: {required: true}}\n" + composite("{run: 'x', shell: sh}"),
            "broken/action.yml": "runs: {using: ruby}",
        }
    )
    ((found, said),) = says(repository.folder, composite(f"{{uses: '{uses}'}}"))
    assert found == f"{severity} 6:14"
    assert message in said


def test_inputs_that_an_action_at_hand_does_not_declare_are_said(repository: Repository) -> None:
    repository.commit({"helper/action.yml": "inputs: {who: {}}\n" + composite("{run: 'x', shell: sh}")})
    steps = ("{uses: $/helper, with: {WHO: 1, what: 2}}", "{uses: flow-agent/checkout@v1, with: {dept: 1}}")
    found = says(repository.folder, composite(*steps))
    assert found == [
        ("warning 6:39", "'$/helper' declares no input 'what'"),
        ("warning 7:45", "'flow-agent/checkout@v1' declares no input 'dept'"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runs: {using: node16, main: m.js}", "node 16 ended in 2023"),
        ("runs: {using: node20, main: m.js}", "node 20 ended in April 2026"),
        ("runs: {using: node24, mian: m.js, main: m.js}", "Unexpected value 'mian': GitHub refuses"),
        ("runs: {using: node24, main: m.js, post: m.js, post-if: alwys()}", "Unrecognized function: 'alwys'"),
        ("inputs: {a: {requird: true}}\nruns: {using: node24, main: m.js}", "'requird': it is passed over"),
        ("outputs: {a: {description: d}}\n" + composite("{run: x, shell: sh}"), "'a' is always empty"),
        ("runs: {plugin: checkout}", "'plugin: checkout' is built into GitHub's runner"),
        ("runs: {", ""),
    ],
)
def test_what_github_refuses_drops_or_has_ended_is_said(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "m.js").write_text("")
    assert any(message in said for _, said in says(tmp_path, text))


def test_a_folder_without_an_action_and_one_that_is_not_there_are_problems(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = problems_of(tmp_path, "empty", "nowhere")
    assert [each["message"] for each in found] == ["there is no action.yml here", "there is no folder here"]
    assert check(tmp_path, "empty").code == 1


def test_another_languages_manifest_is_checked_by_its_own_rules(tmp_path: Path) -> None:
    (tmp_path / "action-datatorch.yaml").write_text("name: x\nruns: {using: cobol}\n")
    (found,) = problems_of(tmp_path)
    assert (found["line"], found["severity"]) == (2, "error")


def test_the_actions_that_ship_are_in_order() -> None:
    for folder in sorted(bundled("actions").iterdir()):
        if (folder / "action.yml").is_file():
            done = check(folder)
            assert (done.code, done.out) == (0, "the action is in order\n"), folder


def test_info_says_the_same_and_fails_for_what_no_job_takes(tmp_path: Path) -> None:
    (tmp_path / "action.yml").write_text(DESCRIBED + "runs: {using: node24, main: gone.js}\n")
    shown = run_agent("action", "info", "./", "--format", "json", cwd=tmp_path)
    assert shown.code == 1
    assert [each["message"] for each in shown.json()["problems"]] == ["there is no file 'gone.js'"]
    assert "there is no file 'gone.js'" in run_agent("action", "info", "./", cwd=tmp_path).err
    (tmp_path / "action.yml").write_text("inputs: 1\nruns: {using: ruby}\n")
    refused = run_agent("action", "info", "./", "--format", "json", cwd=tmp_path)
    assert (refused.code, len(refused.json()["problems"])) == (1, 2)
    said = run_agent("action", "info", "./", cwd=tmp_path).err
    assert "./action.yml:1:9" in said
    assert ":2:15" in said
