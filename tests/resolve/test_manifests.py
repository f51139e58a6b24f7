"""What an action's manifest says, and how a wrong one is answered."""

from pathlib import Path

import pytest

from agent.errors import AgentError, NotFoundError
from agent.flow.load import load_flow
from agent.flow.problems import InvalidFlowError
from agent.resolve import manifests
from agent.resolve.manifests import ManifestFrontEnd, read_manifest
from agent.resolve.manifests.github import parse_manifest
from agent.resolve.manifests.model import (
    ActionInput,
    ActionManifest,
    ActionOutput,
    CompositeRuns,
    DockerRuns,
    InvalidActionError,
    NodeRuns,
    PythonRuns,
)
from agent.spec.job import SpecStepKind, StepSpec


def test_a_node_action_is_read_in_full() -> None:
    manifest = parse_manifest(
        """
name: Cache
author: somebody
description: keeps files
branding: {icon: archive, color: gray-dark}
unknown: [1, {two: 3}]
inputs:
  path: {description: what, required: true, deprecationMessage: use paths}
  key:
  depth: {default: 1, other: x}
  flag: {default: false}
  token: {default: "${{ github.token }}"}
outputs:
  hit: {description: whether it was there}
runs:
  using: NODE24
  main: dist/main.js
  pre: dist/pre.js
  pre-if: runner.os == 'Linux'
  post: dist/post.js
  post-if: ${{ success() }}
  unknown: x
""",
        "action.yml",
    )
    assert (manifest.name, manifest.description) == ("Cache", "keeps files")
    assert manifest.inputs["path"] == ActionInput("path", "what", True, None, "use paths")
    assert [manifest.inputs[name].default for name in ("key", "depth", "flag", "token")] == [
        None,
        "1",
        "false",
        "${{ github.token }}",
    ]
    assert manifest.outputs == {"hit": ActionOutput("hit", "whether it was there")}
    assert manifest.runs == NodeRuns(
        24, "dist/main.js", "dist/pre.js", "runner.os == 'Linux'", "dist/post.js", "success()"
    )


@pytest.mark.parametrize(
    ("using", "version"), [("node12", 20), ("node16", 20), ("node20", 20), ("node24", 24)]
)
def test_old_nodes_run_on_the_oldest_that_is_kept(using: str, version: int) -> None:
    manifest = parse_manifest(f"runs: {{using: {using}, main: m.js}}", "action.yml")
    assert manifest.runs == NodeRuns(version, "m.js")


def test_a_python_action_is_read() -> None:
    manifest = parse_manifest("runs: {using: python, main: main.py, post: post.py}", "action.yml")
    assert manifest.runs == PythonRuns("main.py", post="post.py")


def test_a_docker_action_is_read() -> None:
    manifest = parse_manifest(
        """
name: d
runs:
  using: docker
  image: Dockerfile
  entrypoint: /run
  args: [a, "${{ inputs.x }}", 3]
  env: {A: "${{ inputs.y }}"}
  pre-entrypoint: /pre
  post-entrypoint: /post
  post-if: failure()
""",
        "action.yml",
    )
    runs = manifest.runs
    assert isinstance(runs, DockerRuns)
    assert (runs.image, runs.entrypoint, runs.args) == ("Dockerfile", "/run", ("a", "${{ inputs.x }}", 3))
    assert runs.env == {"A": "${{ inputs.y }}"}
    assert (runs.pre_entrypoint, runs.post_entrypoint) == ("/pre", "/post")
    assert (runs.pre_if, runs.post_if) == ("always()", "failure()")


def test_a_composite_action_is_read_into_steps() -> None:
    manifest = parse_manifest(
        """
outputs:
  sum: {value: "${{ steps.add.outputs.sum }}"}
runs:
  using: composite
  steps:
    - run: echo 1
      shell: bash
    - id: add
      name: Add ${{ inputs.a }}
      if: inputs.a != ''
      run: echo 2
      shell: ${{ inputs.shell }}
      working-directory: sub
      env: {A: 1}
      continue-on-error: true
    - {run: echo 3, shell: sh, if: always()}
    - {uses: actions/checkout/deep@v4, with: {fetch-depth: 0}}
    - {uses: actions/checkout@v4}
    - {uses: ./local}
    - {uses: $/same}
    - {uses: "docker://alpine:3"}
""",
        "act/action.yml",
    )
    assert isinstance(manifest.runs, CompositeRuns)
    steps = manifest.runs.steps
    assert [step.id for step in steps] == [
        "__run",
        "add",
        "__run_2",
        "__actions_checkout",
        "__actions_checkout_2",
        "__self",
        "__selfRepository",
        "__alpine_3",
    ]
    assert steps[0] == StepSpec(
        SpecStepKind.RUN, "__run", run="echo 1", shell="bash", place="act/action.yml:7:7"
    )
    assert steps[1].condition == "success() && (inputs.a != '')"
    assert (steps[1].shell, steps[1].working_directory) == ("${{ inputs.shell }}", "sub")
    assert (steps[1].name, steps[1].env, steps[1].continue_on_error) == (
        "Add ${{ inputs.a }}",
        {"A": 1},
        True,
    )
    assert steps[2].condition == "always()"
    assert (steps[3].kind, steps[3].uses) == (SpecStepKind.USES, "actions/checkout/deep@v4")
    assert steps[3].with_ == {"fetch-depth": 0}
    assert manifest.outputs["sum"].value == "${{ steps.add.outputs.sum }}"


@pytest.mark.parametrize(
    "uses",
    [
        *("", "actions/checkout/deep@v4", "./local", "$/same", "docker://alpine:3", "owner\\\\repo@v1"),
        f"{'o' * 60}/{'r' * 60}@v1",  # longer than an id may be
    ],
)
def test_a_step_without_an_id_gets_the_same_one_in_a_flow_and_in_a_composite_action(uses: str) -> None:
    step = f'{{uses: "{uses}"}}' if uses else "{run: echo, shell: sh}"
    text = f"[{step}, {step}]"
    action = parse_manifest(f"runs: {{using: composite, steps: {text}}}", "action.yml")
    loaded = load_flow(f"on: push\njobs: {{a: {{runs-on: x, steps: {text}}}}}", "flow.yml")
    assert isinstance(action.runs, CompositeRuns)
    assert [step.id for step in action.runs.steps] == [step.id for step in loaded.flow.jobs["a"].steps]


def test_an_odd_id_is_refused_in_the_same_words_in_a_flow_and_in_a_composite_action() -> None:
    for written in ("1a", "__a", "x" * 100):
        step = f"[{{run: echo, shell: sh, id: {written}}}]"
        with pytest.raises(InvalidActionError) as action:
            parse_manifest(f"runs: {{using: composite, steps: {step}}}", "action.yml")
        with pytest.raises(InvalidFlowError) as flow:
            load_flow(f"on: push\njobs: {{a: {{runs-on: x, steps: {step}}}}}", "flow.yml")
        said = [[problem.message for problem in caught.value.problems] for caught in (action, flow)]
        assert said[0] == said[1]


def composite(step: str) -> str:
    return f"runs:\n  using: composite\n  steps:\n    - {step}\n"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "a.yml:1:1", "A mapping was expected"),
        ("[1]", "a.yml:1:1", "A mapping was expected"),
        ("name: x", "a.yml:1:1", "Required property is missing: runs"),
        ("runs: x", "a.yml:1:7", "A mapping was expected"),
        ("runs: {main: x}", "a.yml:1:7", "Missing 'using' value"),
        ("runs: {using: ruby}", "a.yml:1:15", "'using: ruby' is not supported"),
        ("runs: {using: node20}", "a.yml:1:7", "Required property is missing: main"),
        ("runs: {using: python, main: [x]}", "a.yml:1:29", "'main' is text"),
        ("runs: {using: docker}", "a.yml:1:7", "Required property is missing: image"),
        ("runs: {using: docker, image: x, args: y}", "a.yml:1:39", "A sequence was expected"),
        ("runs: {using: composite}", "a.yml:1:7", "a composite action needs a list of steps"),
        ("inputs: [x]\nruns: {using: python, main: m}", "a.yml:1:9", "A mapping was expected"),
        ("inputs: {x: y}\nruns: {using: python, main: m}", "a.yml:1:13", "A mapping was expected"),
        ("runs: {using: python, main: m}\nruns: {}", "a.yml:2:1", "'runs' is already defined"),
        ("runs: {", "a.yml:", ""),
        (composite("echo"), "a.yml:4:7", "A mapping was expected"),
        (composite("{run: x}"), "a.yml:4:7", "Required property is missing: shell"),
        (composite("{shell: sh}"), "a.yml:4:7", "Required property is missing: run"),
        (composite("{uses: }"), "a.yml:4:", "Required property is missing: uses"),
        (composite("{run: x, shell: sh, uses: y}"), "a.yml:4:8", "Unexpected value 'run'"),
        (
            composite("{run: x, shell: sh, timeout-minutes: 5}"),
            "a.yml:4:27",
            "Unexpected value 'timeout-minutes'",
        ),
        (composite("{run: x, shell: sh, if: 'a =='}"), "a.yml:4:31", "Unexpected end of expression"),
        (
            composite("{run: 'x ${{ secrets.A }}', shell: sh}"),
            "a.yml:4:13",
            "Unrecognized named-value: 'secrets'",
        ),
        (composite("{run: x, shell: '${{ vars.A }}'}"), "a.yml:4:23", "Unrecognized named-value: 'vars'"),
        (
            composite("{uses: a/b@v1, with: {t: '${{ secrets.A }}'}}"),
            "a.yml:4:32",
            "Unrecognized named-value: 'secrets'",
        ),
        (
            composite("{run: x, shell: sh, if: needs.a.result}"),
            "a.yml:4:31",
            "Unrecognized named-value: 'needs'",
        ),
        (
            composite("{run: x, shell: sh, env: {A: '${{ nothing( }}'}}"),
            "a.yml:4:36",
            "Unrecognized function: 'nothing'",
        ),
        (
            composite("{run: x, shell: sh, name: '${{ always() }}'}"),
            "a.yml:4:33",
            "Unrecognized function: 'always'",
        ),
        (
            "inputs: {a: {default: '${{ inputs.b }}'}}\nruns: {using: python, main: m}",
            "a.yml:1:23",
            "'inputs'",
        ),
        (
            "outputs: {a: {value: '${{ secrets.b }}'}}\nruns: {using: python, main: m}",
            "a.yml:1:22",
            "'secrets'",
        ),
        ("runs: {using: docker, image: x, args: ['${{ github.token }}']}", "a.yml:1:40", "'github'"),
        ("runs: {using: docker, image: x, env: {A: '${{ env.B }}'}}", "a.yml:1:42", "'env'"),
        ("runs: {plugin: checkout}", "a.yml:1:16", "'plugin: checkout' is built into GitHub's runner"),
        (composite("{run: x, shell: sh, env: [x]}"), "a.yml:4:32", "A mapping was expected"),
        (composite("{uses: a/b@v1, with: x}"), "a.yml:4:28", "A mapping was expected"),
        (composite("{run: x, shell: sh, id: 1a}"), "a.yml:4:31", "The identifier '1a' is invalid"),
        (composite("{run: x, shell: sh, id: __a}"), "a.yml:4:31", "IDs starting with '__' are reserved"),
        (
            composite("{run: x, shell: sh, id: a}\n    - {run: x, shell: sh, id: A}"),
            "a.yml:5:31",
            "The identifier 'A' may not be used more than once within the same scope.",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, place: str, message: str) -> None:
    with pytest.raises(InvalidActionError) as caught:
        parse_manifest(text, "a.yml")
    problem = caught.value.problems[0]
    assert str(problem.position).startswith(place)
    assert message in problem.message
    assert message in caught.value.what
    assert caught.value.where == str(problem.position)


def test_all_that_is_wrong_is_said_at_once_in_the_files_order() -> None:
    with pytest.raises(InvalidActionError) as caught:
        parse_manifest(
            "inputs: 3\nruns:\n  using: composite\n  steps: [{run: a}, {shell: b}]\noutputs: []", "a.yml"
        )
    assert [problem.position.line for problem in caught.value.problems] == [1, 4, 4, 5]
    assert "(and 3 more)" in caught.value.what
    said = str(caught.value).splitlines()
    assert said[0] == "the action has 4 problems (a.yml)"
    assert [line.partition(": ")[0].strip() for line in said[1:]] == [
        str(problem.position) for problem in caught.value.problems
    ]


def test_an_alias_bomb_is_refused() -> None:
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    with pytest.raises(InvalidActionError):
        parse_manifest(bomb, "a.yml")


def test_action_yml_wins_over_action_yaml_and_both_over_a_dockerfile(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    assert read_manifest(tmp_path).runs == DockerRuns("Dockerfile")
    (tmp_path / "action.yaml").write_text("runs: {using: python, main: a}")
    assert read_manifest(tmp_path).runs == PythonRuns("a")
    (tmp_path / "action.yml").write_text("runs: {using: python, main: b}")
    assert read_manifest(tmp_path).runs == PythonRuns("b")


def test_a_folder_without_a_manifest_is_an_error_that_names_it_as_the_user_does(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"under '\./train'"):
        read_manifest(tmp_path, "./train")
    with pytest.raises(NotFoundError, match="actions/checkout"):
        read_manifest(tmp_path / "absent", "./absent")


def test_a_manifest_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "action.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AgentError, match="not UTF-8"):
        read_manifest(tmp_path)


def test_a_manifest_that_can_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "action.yml").write_text("name: x")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(
        Path, "read_text", refuse
    )  # a true border: root, as whom tests may run, may read anything
    with pytest.raises(AgentError, match="Permission denied"):
        read_manifest(tmp_path)


def test_another_language_of_manifests_is_a_row_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(file: Path, shown_as: str) -> ActionManifest:
        return ActionManifest(shown_as, PythonRuns(file.read_text()))

    monkeypatch.setattr(
        manifests, "FRONT_ENDS", {**manifests.FRONT_ENDS, "other.toml": ManifestFrontEnd(read)}
    )
    (tmp_path / "other.toml").write_text("main.py")
    assert read_manifest(tmp_path, "./act") == ActionManifest("./act/other.toml", PythonRuns("main.py"))
    (tmp_path / "action.yml").write_text("runs: {using: python, main: a}")
    assert read_manifest(tmp_path, "./act").runs == PythonRuns("a")
