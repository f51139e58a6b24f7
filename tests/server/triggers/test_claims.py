"""What the caller of the API says of a run opens nothing: a run is on a branch only where the server has found it there."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from server.toolkit_job import Job
from server.triggers.lab import FLOW, ON_PUSH, Lab
from server.triggers.payloads import github_push
from server.vocabulary import TestAgent, journal, wait_for

Agents = Callable[..., TestAgent]
GATED = ON_PUSH.replace("    runs-on", "    environment: prod\n    runs-on")


@pytest.fixture
def guarded(lab: Lab) -> Lab:
    """A secret and an environment that are for `main` alone."""
    answer = lab.server.api.put("/secrets/DATA_KEY", json={"value": "hunter2", "refs": ["main"]})
    assert answer.status_code == 200, answer.text
    assert lab.server.api.put("/environments/prod", json={"branches": ["main"]}).status_code == 200
    return lab


def claims(lab: Lab) -> dict[str, dict[str, Any]]:
    """What somebody may say who wants to be taken for `main`."""
    url, head = f"{lab.host.url}/acme/lab", lab.repository.head
    push = github_push(before="0" * 40, after=head)
    return {
        "no source but a ref": {"source": {"kind": "none", "ref": "refs/heads/main"}},
        "nothing": {},
        "an invented commit": {
            "source": {"kind": "git", "url": url, "ref": "refs/heads/main", "commit": "1" * 40}
        },
        "the true head, with a flow of its own": {
            "source": {"kind": "git", "url": url, "ref": "refs/heads/main", "commit": head}
        },
        "the payload of a push": {"event": "push", "event_payload": push},
        "the base of a request": {
            "event": "pull_request_target",
            "event_payload": {"number": 5, "pull_request": {"number": 5, "base": {"ref": "main"}}},
            "source": {"kind": "git", "url": url, "ref": "refs/heads/main", "commit": head},
        },
    }


def test_a_submitted_run_gets_no_branchs_secret_whatever_it_claims(guarded: Lab, make_agent: Agents) -> None:
    agent = make_agent(guarded.server).connect()
    text = ON_PUSH.replace("workflow_dispatch]", "workflow_dispatch, pull_request_target]")
    for claim, said in claims(guarded).items():
        run = guarded.server.submit(text, **said)
        assign = agent.take()
        assert "DATA_KEY" not in assign.sealed, claim
        agent.finish(assign, journal(assign))
        assert guarded.server.run(run)["branch"] == "", claim


def test_a_submitted_run_enters_no_branchs_environment_whatever_it_claims(guarded: Lab) -> None:
    for claim, said in claims(guarded).items():
        run = guarded.server.submit(GATED, **said)
        job = guarded.server.wait_for_job(run, status="completed")
        assert "a run that is on no branch may not enter the environment 'prod'" in job["message"], claim


def test_a_push_a_dispatch_and_their_rerun_are_on_the_branch(guarded: Lab, make_agent: Agents) -> None:
    server = guarded.server
    agent = make_agent(server).connect()
    pushed = guarded.push({FLOW: GATED})["results"][0]["run"]
    answer = server.api.post(f"/repositories/{guarded.id}/dispatch", json={"flow": FLOW, "ref": "main"})
    for run in (pushed, answer.json()["run"]):
        assign = agent.take()
        assert agent.open(assign, "DATA_KEY") == "hunter2"
        agent.finish(assign, journal(assign))
        assert server.run(run)["branch"] == "refs/heads/main"
    wait_for(lambda: server.run(pushed)["status"] == "completed")
    assert server.api.post(f"/runs/{pushed}/rerun", json={}).status_code == 201
    again = agent.take()
    assert (again.spec.run, agent.open(again, "DATA_KEY")) == (pushed, "hunter2")


def test_another_branch_and_a_tag_that_is_called_main_are_not_main(guarded: Lab, make_agent: Agents) -> None:
    server, git = guarded.server, guarded.repository.git
    guarded.push({FLOW: GATED})
    agent = make_agent(server).connect()
    first = agent.take()
    agent.finish(first, journal(first))
    git("tag", "main")
    git("branch", "side", "refs/heads/main")
    for ref in ("refs/tags/main", "refs/heads/side"):
        answer = server.api.post(f"/repositories/{guarded.id}/dispatch", json={"flow": FLOW, "ref": ref})
        job = server.wait_for_job(answer.json()["run"], status="completed")
        assert "may not enter the environment 'prod'" in job["message"], ref


def test_what_a_submitted_run_caches_is_restored_by_nobody_elses_run(lab: Lab) -> None:
    for name, said in claims(lab).items():
        text = ON_PUSH.replace("workflow_dispatch]", "workflow_dispatch, pull_request_target]").replace(
            " ${{ secrets.DATA_KEY }}", ""
        )
        job = Job(lab.server, f"evil-{name[:5]}".replace(" ", "-"), flow={"file": FLOW, "text": text}, **said)
        job.cache("CreateCacheEntry", key=name.replace(" ", "-").replace(",", ""), version="a" * 64)
        scopes = {scope for (scope,) in lab.server.sql("SELECT scope FROM caches")}
        assert scopes == {"user/admin"}, name
        claimed = json.loads(_claims(job.token)["ac"])
        assert claimed == [{"Scope": "user/admin", "Permission": 3}]
        job.end()


def test_flows_that_wait_for_runs_are_told_what_the_server_knows(guarded: Lab, make_agent: Agents) -> None:
    waits = """\
name: Deploy
on: {workflow_run: {workflows: [Train], types: [requested], branches: [main]}}
jobs:
  deploy: {runs-on: linux, steps: [{run: echo hello}]}
"""
    told = waits.replace(", branches: [main]", "").replace("Deploy", "Look").replace("deploy", "look")
    server = guarded.server
    guarded.push({".github/workflows/deploy.yml": waits, ".github/workflows/look.yml": told})
    said = claims(guarded)["the true head, with a flow of its own"]
    run = server.submit(ON_PUSH, event="push", **said)
    started = wait_for(lambda: _runs_of(server, "Look", run))
    assert _runs_of(server, "Deploy", run) == []
    (payload,) = started
    assert (payload["head_branch"], payload["head_sha"], payload["event"]) == ("", "", "workflow_dispatch")


def _runs_of(server: Any, title: str, cause: int) -> list[dict[str, Any]]:
    """What the runs of that flow were told of the run `cause` that started them; all deliveries are settled."""
    if any(row["status"] == "waiting" for row in server.api.get("/deliveries").json()["deliveries"]):
        return []
    rows = server.sql("SELECT state FROM runs WHERE title = ?", title)
    told = [json.loads(state)["request"]["contexts"]["github"]["event"]["workflow_run"] for (state,) in rows]
    return [one for one in told if one["id"] == cause]


def _claims(token: str) -> dict[str, Any]:
    import base64

    body = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found
