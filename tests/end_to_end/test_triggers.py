"""From a signed push to a run on a real agent and the status on its commit, all by the real commands."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from server.triggers.payloads import github_push
from support.git import make_repository, serve_git
from support.lab import Lab, wait_for
from support.status_host import Recorder

from agent.server.triggers.signatures import sign_body

FLOW = """\
name: Train
on:
  push: {branches: [main]}
jobs:
  train:
    runs-on: self-hosted
    steps:
      - uses: flow-agent/checkout@v1
      - run: cat model.txt && echo "by $GITHUB_ACTOR on $GITHUB_REF_NAME"
"""


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.stop()


def test_a_push_runs_on_an_agent_and_its_commit_is_told(
    inside: Lab, tmp_path: Path, recorder: Recorder
) -> None:
    files = {".github/workflows/train.yml": FLOW, "model.txt": "first\n"}
    repository = make_repository(tmp_path / "hosted" / "acme" / "lab", files, tags=())
    token = tmp_path / "token"
    token.write_text("s3cr3t\n")
    inside.add_agent("box")
    with serve_git(tmp_path / "hosted") as host:
        made = inside.agent(
            *("server", "repository", "add", f"{host.url}/acme/lab", "--provider", "github"),
            *("--token-file", token, "--api-url", recorder.url, "--format", "json"),
        )
        assert made.code == 0, made.err
        hook = made.json()
        before, after = repository.head, repository.commit({"model.txt": "second\n"})
        body = json.dumps(github_push(before=before, after=after)).encode()
        headers = {
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": "1",
            "X-Hub-Signature-256": f"sha256={sign_body(hook['secret'], body)}",
        }
        assert httpx.post(hook["webhook"], content=body, headers=headers).status_code == 202
        (delivery,) = wait_for(
            lambda: [
                one
                for one in inside.agent("server", "delivery", "list", "--format", "json").json()
                if one["status"] == "done"
            ],
            "the delivery",
        )
        run = delivery["results"][0]["run"]
        assert inside.wait_for_run(run)["conclusion"] == "success"
        wait_for(lambda: len(recorder.told) == 2, "both statuses")
    lines = inside.lines(run, "train")
    assert "second" in lines
    assert "by ada on main" in lines
    assert [told[2]["state"] for told in recorder.told] == ["pending", "success"]
    assert {told[0] for told in recorder.told} == {f"/repos/acme/lab/statuses/{after}"}
    shown = inside.agent("server", "delivery", "show", str(delivery["id"]))
    assert "1 flow started" in shown.out
    assert "acme/lab" in inside.agent("server", "repository", "list").out
    assert inside.agent("server", "repository", "remove", "acme/lab").code == 0
    assert inside.agent("flow", "list", "--format", "json").json() == []


def test_a_host_inside_is_refused_unless_the_operator_names_it(lab: Lab) -> None:
    done = lab.agent("server", "repository", "add", "http://127.0.0.1:9/acme/lab", "--provider", "gitea")
    assert done.code == 1
    assert "not a public address" in done.err
    assert "AGENT_OUTSIDE_HOSTS" in done.err


def test_a_flow_is_stored_and_started_from_the_command_line(lab: Lab, tmp_path: Path) -> None:
    flow = tmp_path / "nightly.yml"
    flow.write_text(
        "on:\n  workflow_dispatch: {inputs: {epochs: {type: number}}}\n  schedule: [{cron: '0 3 * * *'}]\n"
        "jobs:\n  a:\n    runs-on: self-hosted\n    steps:\n      - run: echo ${{ inputs.epochs }}\n"
    )
    assert lab.agent("flow", "store", flow).code == 0
    (row,) = lab.agent("flow", "list", "--format", "json").json()
    assert (row["name"], row["schedules"][0]["cron"]) == ("nightly", "0 3 * * *")
    assert lab.agent("flow", "start", "nightly", "--input", "epochs=3", "--format", "json").json()["run"] == 1
    assert lab.agent("flow", "disable", "nightly").code == 0
    refused = lab.agent("flow", "start", "nightly")
    assert refused.code == 1
    assert "agent flow enable nightly" in refused.err
    hook = lab.agent("server", "webhook", "add", "night", "--flow", "nightly", "--format", "json").json()
    assert hook["url"].endswith("/hooks/night")
    assert "night" in lab.agent("server", "webhook", "list").out
    assert lab.agent("server", "webhook", "remove", "night").code == 0
    assert lab.agent("flow", "delete", "nightly").code == 0
