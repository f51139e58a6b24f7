"""Odd forms that dstack's own schemas and reader took: each is read without an error, and known for what it is wherever it lies."""

import json

import pytest

from agent.flow.load import inspect_flow
from agent.flow.problems import Severity

BASH = "name: a, provider: bash, commands: [x]"
FORMS = {
    "a version as a number, tags, interruptible": """
workflows:
  - name: "train"
    provider: bash
    deps:
      - tag: mnist_data
      - workflow: prepare
    python: 3.10
    commands:
      - pip install requirements.txt
      - python mnist/train.py
    artifacts:
      - path: checkpoint
    resources:
      interruptible: true
      gpu: 1
""",
    "commands as one text": """
workflows:
  - name: a
    provider: bash
    commands: |
      conda install pytorch -c pytorch
      python train.py
""",
    "anchors and merge keys": """
workflows:
  - &base
    name: a
    provider: bash
    commands: [ls]
    resources: &gpu {gpu: {name: "V100", count: 2}, memory: 16GB}
  - <<: *base
    name: b
    resources: {<<: *gpu, memory: 8GB}
""",
    "a name that is a number": "workflows: [{name: 1, provider: bash, commands: [ls]}]",
    "a name with dots and spaces": "workflows: [{name: fine-tune gpt.2 (größe), provider: bash, help: ü, commands: [ls]}]",
    "all forms of env": f"workflows: [{{{BASH}, env: [WANDB_API_KEY, A=, 'P=src:${{P}}', 'O=--a=b --c', A1=010]}}]",
    "an environment of anything": "workflows: [{name: a, provider: python, script: a.py, environment: {A: 1, B: [1, 2], C: {d: e}, D: null, E: true}}]",
    "nothing but a provider": "workflows:\n  - name: ide\n    provider: lab\n",
    "an editor": "workflows: [{name: ide, provider: code, version: 1.74, setup: make x, ports: 2, ssh: true, cache: [~/.cache]}]",
    "a container with everything": """
workflows:
  - name: d
    provider: docker
    image: ghcr.io/a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    registry_auth: {username: "${{ secrets.U }}", password: "${{ secrets.P }}"}
    home_dir: /root
    entrypoint: ""
    ports: 3
    working_dir: src
    cache: [{path: ~/.cache/pip}, /models]
    artifacts: [{path: ~/out}, {path: /abs/x, mount: true}]
    commands: [ls]
""",
    "sizes": f"workflows: [{{{BASH}, resources: {{memory: 16 gb, shm_size: 8g, gpu: {{memory: 16Gi, name: K80}}, cpu: '4'}}}}]",
    "a gpu of any kind": f"workflows: [{{{BASH}, resources: {{gpu: {{}}}}}}]",
    "no gpu": f"workflows: [{{{BASH}, resources: {{gpu: 0, local: false}}}}]",
    "no resources": f"workflows: [{{{BASH}, resources: }}]",
    "json": '{"workflows": [{"name": "a", "provider": "bash", "commands": ["x"]}]}',
    "dollars and braces": "workflows: [{name: a, provider: bash, commands: ['echo ${HOME} $${{ x }} ${x%.*} $$ {{ jinja }}']}]",
    "ports": f"workflows: [{{{BASH}, ports: ['6006', 8000, '8080:80']}}]",
    "a count of ports as text": f"workflows: [{{{BASH}, ports: '2'}}]",
    "ends of lines of another system": "\ufeffworkflows:\r\n  - name: a\r\n    provider: bash\r\n    commands:\r\n      - x\r\n",
    "a document's marks": "# ours\n---\nworkflows:\n  - {name: a, provider: bash, commands: [x]}\n...\n",
    "tensorboard": "workflows: [{name: tb, provider: tensorboard, runs: [wet-fox-1, 'b-c-2'], logdir: lightning_logs}]",
    "torchrun": "workflows: [{name: t, provider: torchrun, file: t.py, nodes: 4, args: [--lr, '0.1'], environment: {N: INFO}, version: 3.9}]",
    "arguments of all kinds": "workflows: [{name: a, provider: python, file: a.py, args: [--epochs, 10, --flag, true, 1e-3]}]",
    "arguments as text": "workflows: [{name: a, provider: python, file: a.py, args: '--epochs ${{ epochs }}', before_run: [ls]}]",
    "dependencies of both years": f"workflows: [{{{BASH}, depends-on: ['b:latest', 'o/r/d:v1'], deps: [{{tag: t, mount: true}}, {{workflow: o/r/w}}, ':t', w]}}]",
    "fastapi": "workflows: [{name: a, provider: fastapi, app: 'main:app', version: '0.78.0', uvicorn: 0.17, python: 3.9}]",
    "fastapi of a file": "workflows: [{name: a, provider: fastapi, file: app.py, args: [--reload]}]",
    "gradio": "workflows: [{name: a, provider: gradio, file: app.py, version: 3.0.2, artifacts: [x]}]",
    "streamlit": "workflows: [{name: a, provider: streamlit, target: 'https://example.org/x.py', args: '--a 1'}]",
    "notebook": "workflows: [{name: a, provider: notebook, version: 6.4, python: 3.8, before_run: [x], requirements: r.txt}]",
    "a provider of a branch": "workflows: [{name: a, provider: python@master, file: a.py}]",
    "curl": "workflows: [{name: a, provider: curl, url: 'https://example.org/x?a=1&b=2', output: ./raw/x.txt, artifacts: [./raw]}]",
    "empty lists": f"workflows: [{{{BASH}, env: [], artifacts: [], deps: [], cache: []}}]",
    "names in paths": f"workflows: [{{{BASH}, artifacts: [{{path: 'out/${{{{ run.name }}}}'}}], working_dir: ./src/}}]",
}  # fmt: skip


@pytest.mark.parametrize("file", [".dstack/workflows.yaml", ".dstack/workflows/a.yml", "elsewhere.yaml"])
@pytest.mark.parametrize("form", FORMS)
def test_a_form_that_their_schemas_took_is_read(form: str, file: str) -> None:
    flow, problems = inspect_flow(FORMS[form], file)
    assert [str(problem) for problem in problems if problem.severity is Severity.ERROR] == []
    assert flow is not None
    assert flow.dialect.name == "dstack"


@pytest.mark.parametrize(
    "text",
    [
        "version: 2.1\njobs: {a: {docker: [{image: x}], steps: [checkout]}}\nworkflows: {main: {jobs: [a]}}",
        "on: push\njobs: {a: {runs-on: x, steps: [{run: ls}]}}",
    ],
)
def test_workflows_that_are_no_list_are_not_dstacks(text: str) -> None:
    _, problems = inspect_flow(text, "x.yml")
    assert not any("dstack" in problem.message for problem in problems)
    flow, _ = inspect_flow(text, "x.yml")
    assert flow is None or flow.dialect.name == "github"


def test_what_a_merge_key_brings_in_counts_less_than_what_stands_there() -> None:
    flow, _ = inspect_flow(FORMS["anchors and merge keys"], "x.yaml")
    assert flow is not None
    assert flow.jobs["b"].resources == {"memory": "8GB", "gpus": {"count": 2, "model": "V100"}}
    assert flow.jobs["b"].steps[1].run == ["ls"]


def test_a_home_folder_is_home_and_what_a_tilde_means() -> None:
    flow, _ = inspect_flow(FORMS["a container with everything"], "x.yaml")
    assert flow is not None
    job = flow.jobs["d"]
    assert isinstance(job.env, dict)
    assert job.env["HOME"] == "/root"
    assert [keep.path for keep in job.keeps] == ["/root/out", "/abs/x", "/root/.cache/pip", "/models"]


def test_a_flag_is_set_by_any_word_for_yes() -> None:
    for word, is_live in (("true", True), ("yes", True), ("on", True), ("'true'", True), ("no", False)):
        text = f"workflows: [{{{BASH}, artifacts: [{{path: a, mount: {word}}}]}}]"
        flow, _ = inspect_flow(text, "x.yaml")
        assert flow is not None
        assert flow.jobs["a"].keeps[0].live is is_live


def test_what_is_no_scalar_is_json_in_the_environment() -> None:
    flow, _ = inspect_flow(FORMS["an environment of anything"], "x.yaml")
    assert flow is not None
    env = flow.jobs["a"].env
    assert isinstance(env, dict)
    assert (env["B"], env["C"], env["D"]) == ("[1, 2]", '{"d": "e"}', "")


def test_the_runs_of_a_tensorboard_are_brought_each_to_a_folder_of_its_own() -> None:
    flow, _ = inspect_flow(FORMS["tensorboard"], "x.yaml")
    assert flow is not None
    job = flow.jobs["tb"]
    assert [(one.kind, one.of, one.path, str(one.position)) for one in job.brings] == [
        ("run", "wet-fox-1", ".tensorboard/wet-fox-1", "x.yaml:1:54"),
        ("run", "b-c-2", ".tensorboard/b-c-2", "x.yaml:1:65"),
    ]
    _, problems = inspect_flow(FORMS["tensorboard"].replace("wet-fox-1", "o/r/w"), "x.yaml")
    assert [str(problem.position) for problem in problems] == ["x.yaml:1:54"]


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("make a\nmake b\n\n# then\nmake 'c d'", ["make a", "make b", "# then", "make 'c d'"]),
        ("for x in 1 2; do echo $x; done\nls", ["for x in 1 2; do echo $x; done", "ls"]),
        ("if true; then\n  ls\nfi\nls", None),
        ("make \\\n  a\nmake b", None),
        ("cat <<EOT\na\nEOT", None),
        ("f() {\nls\n}\nf", None),
        ("echo 'a\nb'\nls", None),
        ("a |\nb", None),
        ("case x in\nx) ls ;;\nesac", None),
        ("make a", None),
    ],
)
def test_each_line_of_commands_as_one_text_is_a_command_where_it_can_stand_alone(
    text: str, commands: list[str] | None
) -> None:
    written = json.dumps({"workflows": [{"name": "a", "provider": "bash", "commands": text}]})
    flow, _ = inspect_flow(written, "x.yaml")
    assert flow is not None
    assert flow.jobs["a"].steps[1].run == (commands or [text])
