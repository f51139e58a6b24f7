"""dstack's workflows through a real server and real agents: submitted, stored, and of a connected repository."""

from pathlib import Path

import httpx
import pytest
from support.git import make_repository, serve_git
from support.lab import Done, Lab, run_agent

WORKFLOWS = """\
workflows:
  - name: data
    provider: bash
    commands: ['echo "> data of $(cat words.txt)"']
  - name: train
    provider: bash
    depends-on: [data]
    env: [COLOUR, OWN=mine]
    commands:
      - echo "> train $BATCH_SIZE ${{ batch-size }} $COLOUR $OWN $KEY ${{ run.args }}"
      - echo "> $RUN_NAME ${{ run.name }}"
"""
VARIABLES = "variables: {train: {batch-size: 64}}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        ".dstack/workflows.yaml": WORKFLOWS,
        ".dstack/variables.yaml": VARIABLES,
        "words.txt": "first\n",
    }
    return make_repository(tmp_path / "project", files, tags=()).folder


def submit(lab: Lab, project: Path, *words: str, **environment: str) -> Done:
    return run_agent(
        *("flow", "submit", "--format", "json", *words), cwd=project, environment={**lab.environment, **environment}
    )  # fmt: skip


def said(lab: Lab, run: int, job: str) -> list[str]:
    return [line.removeprefix("> ") for line in lab.lines(run, job) if line.startswith("> ")]


def test_a_workflow_is_submitted_by_its_name_with_its_variables_code_and_arguments(
    lab: Lab, project: Path
) -> None:
    lab.add_agent("box")
    assert lab.agent("secret", "set", "KEY", given="open sesame\n").code == 0
    (project / "words.txt").write_text("second\n")  # not committed: the diff goes along
    done = submit(
        lab, project, "train", "--batch-size", "128", "--tag", "best", "--", "--x", "a b", COLOUR="blue"
    )
    assert done.code == 0, done.err
    run = done.json()["run"]
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert said(lab, run, "data") == ["data of second"]
    assert said(lab, run, "train") == ["train 128 128 blue mine *** --x 'a b'", "wet-mangust-1 wet-mangust-1"]
    assert [tag["tag"] for tag in lab.get("tag", "list", "--run", str(run))] == ["best"]
    assert (done.json()["warnings"], "COLOUR" in done.err) == ([], False)
    unset = submit(lab, project, "train")
    place = ".dstack/workflows.yaml:8:11"
    assert f"warning: {place}: COLOUR is not set where this run is started" in unset.err


def test_a_run_is_named_by_its_readable_name_wherever_it_is_named(lab: Lab, project: Path) -> None:
    lab.add_agent("box")
    run = submit(lab, project, "data").json()["run"]
    lab.wait_for_run(run)
    name = lab.run(run)["readable_name"]
    assert name == "wet-mangust-1"
    assert name in lab.agent("run", "list").out
    assert lab.get("run", "show", name)["id"] == run
    assert "> data of first" in lab.agent("run", "logs", name).out
    assert lab.agent("tag", "add", "kept", "--run", name.upper()).code == 0
    headers = {"Authorization": f"Bearer {lab.admin_token}"}
    assert httpx.get(f"{lab.url}/api/v1/runs/{name}", headers=headers).json()["id"] == run
    assert httpx.get(f"{lab.url}/api/v1/runs/no-mangust-1", headers=headers).status_code == 404
    assert httpx.get(f"{lab.url}/api/v1/runs/wild-zebra-77", headers=headers).status_code == 404


def test_a_start_without_a_name_is_refused_before_anything_is_sent(lab: Lab, project: Path) -> None:
    done = submit(lab, project, ".dstack/workflows.yaml")
    assert (done.code, "it has data, train" in done.err) == (2, True)
    assert lab.get("run", "list") == []


def test_a_stored_file_is_started_by_its_workflows_with_the_companions_it_was_stored_with(
    lab: Lab, project: Path
) -> None:
    lab.add_agent("box")
    stored = lab.agent("flow", "store", project / ".dstack" / "workflows.yaml")
    assert stored.code == 0, stored.err
    refused = lab.agent("flow", "start", "workflows")
    assert (refused.code != 0, "it has data, train" in refused.err) == (True, True)
    run = lab.get("flow", "start", "workflows", "--job", "train", "--input", "batch-size=7")["run"]
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert (
        said(lab, run, "train")[0] == "train 7 7  mine  "
    )  # a stored flow has no code; what nobody gives is empty


def test_workflows_of_a_connected_repository_are_found_with_what_lies_beside_them(
    inside: Lab, tmp_path: Path
) -> None:
    files = {
        ".dstack/workflows/train.yaml": WORKFLOWS.partition("  - name: train")[0] + "  - name: train" + WORKFLOWS.partition("  - name: train")[2].replace("[data]", "[prepare]"),
        ".dstack/workflows.yaml": "workflows: [{name: prepare, provider: own}]\n",
        ".dstack/providers.yaml": "providers: [{name: bash, image: 'flow-test/none:1', commands: [x]}]\n",
        ".dstack/variables.yaml": VARIABLES,
    }  # fmt: skip
    files[".dstack/providers.yaml"] = "providers: [{name: own, image: 'flow-test/none:1', commands: [x]}]\n"
    repository = make_repository(tmp_path / "hosted" / "acme" / "lab", files, tags=())
    with serve_git(tmp_path / "hosted") as host:
        made = inside.agent("server", "repository", "add", f"{host.url}/acme/lab", "--provider", "git")
        assert made.code == 0, made.err
        known = {flow["name"]: flow["problems"] for flow in inside.get("flow", "list")}
        assert known == {".dstack/workflows.yaml": [], ".dstack/workflows/train.yaml": []}
        repository.commit({".dstack/variables.yaml": "variables: [1]\n"})
        headers = {"Authorization": f"Bearer {inside.admin_token}"}
        row = httpx.get(f"{inside.url}/api/v1/repositories", headers=headers).json()["repositories"][0]
        address = f"{inside.url}/api/v1/repositories/{row['id']}/dispatch"
        body = {"flow": ".dstack/workflows/train.yaml", "jobs": ["data"]}
        answer = httpx.post(address, json=body, headers=headers, timeout=60)
        assert answer.status_code == 422, answer.text
        told = [
            (one["file"], one["line"], one["column"], one["severity"]) for one in answer.json()["problems"]
        ]
        assert (".dstack/variables.yaml", 1, 12, "error") in told
        repository.commit({".dstack/variables.yaml": VARIABLES})
        answer = httpx.post(address, json=body, headers=headers, timeout=60)
        assert answer.status_code == 201, answer.text


def test_torchrun_runs_on_two_agents_that_find_each_other(lab: Lab, project: Path) -> None:
    stand_in = '#!/bin/sh\necho "> torchrun $*"\n'
    (project / "bin").mkdir()
    (project / "bin" / "torchrun").write_text(stand_in)
    (project / "bin" / "torchrun").chmod(0o755)
    (project / ".dstack" / "workflows.yaml").write_text(
        "workflows: [{name: train, provider: torchrun, file: train.py, nodes: 2, args: [--epochs, '3'],"
        " before_run: ['export PATH=$PWD/bin:$PATH', 'echo \"> $MASTER_JOB_HOSTNAME:$MASTER_JOB_PORT_0\"']}]"
    )
    lab.add_agent("a")
    lab.add_agent("b")
    run = submit(lab, project, "train").json()["run"]
    assert lab.wait_for_run(run)["conclusion"] == "success"
    first, second = (said(lab, run, job["key"]) for job in lab.run(run)["jobs"])
    master, port = first[0].split(":")
    assert second[0] == first[0]
    where = f"--master_addr={master} --master_port={port} --nproc_per_node=1 train.py --epochs 3"
    assert first[1] == f"torchrun --nnodes=2 --node_rank=0 {where}"
    assert second[1] == f"torchrun --nnodes=2 --node_rank=1 {where}"


def test_options_and_a_provider_alone_go_to_the_server(lab: Lab, project: Path) -> None:
    lab.add_agent("box")
    done = submit(lab, project, "--provider", "bash", "-c", 'echo "> $A $(cat words.txt)"', "--env", "A=5")
    assert done.code == 0, done.err
    run = done.json()["run"]
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert said(lab, run, "bash") == ["5 first"]
    waiting = submit(lab, project, "data", "--gpu", "8").json()["run"]
    assert "GPU" in str(lab.run(waiting)["jobs"][0])
