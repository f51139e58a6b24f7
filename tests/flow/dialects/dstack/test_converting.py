"""dstack's workflows in GitHub's language: one of them is chosen, and what their conventions brought stands in their steps."""

from pathlib import Path

import pytest

from agent.flow.companions import choose_among
from agent.flow.load import find_front_end, load_flow

FILES = Path(__file__).parents[3] / "end_to_end" / "dstack"
SOME = """\
workflows:
  - {name: data, provider: bash, commands: ['echo raw > data/x # it', 'sleep 9 &', 'echo 2'], artifacts: [data]}
  - name: train 1.0
    provider: bash
    depends-on: [data]
    python: 3.11
    env: [WANDB_API_KEY, COLOUR, A=1]
    commands: [pip --version, "echo ${{ batch-size }} ${{ run.args }} $RUN_NAME ${{ epochs }}"]
  - {name: test, provider: docker, image: 'ubuntu:22.04', deps: [{workflow: train 1.0}, ':best'], commands: [ls]}
"""


def convert(text, file=".dstack/workflows.yaml", **texts):
    flow = load_flow(text, file, companions=choose_among(texts)).flow
    flow, differences = find_front_end("dstack").spell_out(flow)
    written = find_front_end("github").write(flow)
    losses = [str(loss) for loss in written.losses if loss.severity == "error"]
    told = [f"{one.position.line}: {one.message}" for one in (*differences, *written.losses)]
    return written.text, losses, told


def read(text):
    return load_flow(text, "x.yml", dialect="github").flow


def test_one_workflow_is_chosen_and_what_it_needs_comes_along():
    text, losses, told = convert(SOME, **{"variables.yaml": "variables: {global: {batch-size: 64}}"})
    assert losses == []
    flow = read(text)
    given = {one.name: one for one in flow.triggers[0].inputs}
    assert given["workflow"].options == ("data", "train 1.0", "test")
    assert list(given) == ["workflow", "batch-size", "env-COLOUR", "epochs", "run-args"]
    assert given["epochs"].required is False
    assert "4: `epochs` has to be given here, and there it may be empty" not in told
    assert any("`epochs` has to be given here, and there it may be empty" in one for one in told)
    assert (
        flow.jobs["data"].condition
        == "success() && (inputs.workflow == 'data' || inputs.workflow == 'train 1.0')"
    )
    train = flow.jobs["train-1-0"]
    assert (train.name, train.needs) == ("train 1.0", ("data",))
    assert train.env["WANDB_API_KEY"] == "${{ secrets.WANDB_API_KEY }}"
    assert train.env["COLOUR"] == "${{ inputs['env-COLOUR'] || secrets.COLOUR }}"
    assert train.env["RUN_NAME"] == "${{ github.run_id }}"
    assert [(one.kind, one.of, one.job) for one in flow.jobs["test"].brings] == [
        ("last", ".dstack", "train-1-0"), ("tag", "best", ""),
    ]  # fmt: skip


def test_each_command_has_to_succeed_and_python_has_an_environment_of_its_own():
    flow = read(convert(SOME)[0])
    _code, data = flow.jobs["data"].steps
    stop = "case $? in 0) ;; *) exit $? ;; esac"
    assert data.run == f"echo raw > data/x # it\n{stop}\nsleep 9 &\n{stop}\necho 2"
    assert data.shell == "bash --noprofile --norc {0}"
    _code, python, train = flow.jobs["train-1-0"].steps
    assert python.run.startswith("python3.11 -m venv ")
    assert train.run.startswith(
        "pip --version || exit\necho ${{ inputs['batch-size'] }} ${{ inputs['run-args'] }}"
    )
    assert "RUN_NAME" not in flow.jobs["data"].env if flow.jobs["data"].env else True


def test_a_single_workflow_needs_no_choice():
    flow = read(convert("workflows: [{name: a, provider: bash, commands: [ls]}]")[0])
    assert flow.triggers[0].inputs == ()
    assert flow.jobs["a"].condition == "success()"


@pytest.mark.parametrize("file", sorted(file.name for file in FILES.glob("workflows/*.yaml")))
def test_every_file_that_runs_is_converted(file):
    beside = {f"../{name}.yaml": (FILES / f"{name}.yaml").read_text() for name in ("variables", "providers")}
    written = (
        (FILES / "workflows" / file)
        .read_text()
        .replace("FREER", "81")
        .replace("FREE", "80")
        .replace("HERE", "3.11")
    )
    text, losses, _ = convert(written, f".dstack/workflows/{file}", **beside)
    assert losses == []
    assert read(text).jobs


def test_old_names_and_conda_are_made_where_they_are_used():
    text = "workflows: [{name: a, provider: bash, ports: 1, commands: [conda activate base, 'alias l=ls', 'echo $JOB_PORT_0 $MASTER_JOB_HOSTNAME']}]"
    (_code, run) = read(convert(text)[0]).jobs["a"].steps
    assert run.run.splitlines()[:4] == [
        "export JOB_PORT_0=$PORT_0 || exit",
        "export MASTER_JOB_HOSTNAME=${MASTER_ADDR:-$(hostname)} || exit",
        'eval "$(conda shell.bash hook)" || exit',
        "shopt -s expand_aliases || exit",
    ]
