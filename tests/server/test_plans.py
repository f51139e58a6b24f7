"""What a run waits for, and what follows when it has come: time, people, places in groups; and what is run again."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from server.vocabulary import ServerProcess, TestAgent, journal, wait_for

from agent.spec.outcome import Conclusion, FailureKind

Agents = Callable[..., TestAgent]
Servers = Callable[..., ServerProcess]


@pytest.fixture
def own(make_server: Servers) -> ServerProcess:
    return make_server()


def flow(jobs: str, head: str = "") -> str:
    return f"on: workflow_dispatch\n{head}\njobs:\n{jobs}\n"


def job(name: str, more: str = "") -> str:
    return f"  {name}: {{runs-on: linux, {more}steps: [{{run: 'true'}}]}}\n"


def fail(agent: TestAgent, **more: Any) -> None:
    assign = agent.take()
    more.setdefault("failure_kind", FailureKind.USER)
    agent.finish(assign, journal(assign, conclusion=Conclusion.FAILURE, **more))


def succeed(agent: TestAgent, key: str = "") -> None:
    assign = agent.take()
    assert key in ("", assign.spec.key)
    agent.finish(assign, journal(assign))


def ended(server: ServerProcess, run: int, conclusion: str) -> dict[str, Any]:
    return wait_for(
        lambda: (shown := server.run(run))["conclusion"] == conclusion and shown, f"run {run} to end"
    )


# Retries


def test_a_failed_job_is_given_out_again_when_its_rest_is_over_and_both_tries_are_shown(
    own: ServerProcess, make_agent: Agents
) -> None:
    retry = "retry: {max: 1, on: [75], backoff: {seconds: 0.2}}, "
    run = own.submit(flow(job("train", retry)))
    agent = make_agent(own).connect()
    fail(agent, exit_code=75)
    first = own.run(run)
    assert first["status"] != "completed"
    assert first["jobs"][0]["key"] == "train"
    succeed(agent)
    shown = ended(own, run, "success")
    assert [(row["attempt"], row["conclusion"]) for row in shown["jobs"]] == [(2, "success")]
    assert [(row["attempt"], row["conclusion"]) for row in shown["retried"]] == [(1, "failure")]


def test_a_retry_that_was_due_while_the_server_was_away_is_made_when_it_is_back(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit(flow(job("train", "retry: {max: 1, backoff: {seconds: 1}}, ")))
    agent = make_agent(own).connect()
    fail(agent)
    own.restart_after_kill()
    agent.connect()
    succeed(agent)
    ended(own, run, "success")


# Environments


def test_a_job_waits_until_a_maintainer_lets_it_in(own: ServerProcess, make_agent: Agents) -> None:
    own.api.put("/environments/Prod", json={"approvals": 1})
    run = own.submit(flow(job("deploy", "environment: prod, ")))
    (waiting,) = own.run(run)["jobs"]
    assert (waiting["id"], waiting["status"]) == (None, "pending")
    assert waiting["waiting"] == "waits for an approval to enter the environment 'prod'"
    runner = own.as_user(own.add_user("rita", role="runner"))
    refused = runner.post(f"/runs/{run}/approve", json={})
    assert refused.status_code == 403
    runner.close()
    answer = own.api.post(f"/runs/{run}/approve", json={"comment": "go"})
    assert answer.json() == {"run": run, "jobs": ["deploy"]}
    succeed(make_agent(own).connect())
    shown = ended(own, run, "success")
    assert shown["jobs"][0]["environment"] == "prod"
    (given,) = own.api.get(f"/runs/{run}/approvals").json()["given"]
    assert (given["approved"], given["comment"], given["attempt"]) == (True, "go", 1)
    nobody = own.api.post(f"/runs/{run}/approve", json={})
    assert nobody.status_code == 422
    assert "waits for an approval" in nobody.json()["title"] + nobody.json().get("detail", "")


def test_only_the_named_reviewers_may_speak_and_not_on_their_own_runs(own: ServerProcess) -> None:
    own.api.put("/environments/prod", json={"approvals": 1, "reviewers": ["ada"], "own_review": False})
    run = own.submit(flow(job("deploy", "environment: prod, ")))
    refused = own.api.post(f"/runs/{run}/approve", json={})
    assert refused.status_code == 403
    ada = own.as_user(own.add_user("ada", role="runner"))
    assert ada.post(f"/runs/{run}/reject", json={"comment": "no"}).status_code == 200
    ada.close()
    shown = ended(own, run, "failure")
    assert shown["jobs"][0]["message"] == "ada did not let the job pass: no"


def test_an_approval_is_of_one_attempt(own: ServerProcess, make_agent: Agents) -> None:
    own.api.put("/environments/prod", json={"approvals": 1})
    run = own.submit(flow(job("deploy", "environment: prod, ")))
    own.api.post(f"/runs/{run}/approve", json={})
    agent = make_agent(own).connect()
    fail(agent)
    ended(own, run, "failure")
    assert own.api.post(f"/runs/{run}/rerun", json={"failed": True}).json() == {"run": run, "attempt": 2}
    assert "approval" in own.run(run)["jobs"][0]["waiting"]
    own.api.post(f"/runs/{run}/approve", json={})
    succeed(agent)
    ended(own, run, "success")


def test_a_wait_timer_and_the_branches_of_an_environment(own: ServerProcess, make_agent: Agents) -> None:
    own.api.put("/environments/slow", json={"wait_minutes": 0.005})
    own.api.put("/environments/main-only", json={"branches": ["main"]})
    jobs = job("slow", "environment: slow, ") + job("refused", "environment: main-only, ")
    run = own.submit(flow(jobs))
    succeed(make_agent(own).connect(), "slow")
    shown = ended(own, run, "failure")
    assert (
        "a run that is on no branch may not enter the environment 'main-only'" in shown["jobs"][1]["message"]
    )


def test_environments_are_made_shown_listed_and_forgotten(own: ServerProcess) -> None:
    body = {"approvals": 2, "reviewers": ["ada"], "own_review": False, "wait_minutes": 5, "branches": ["v*"]}
    assert own.api.put("/environments/Prod", json=body).json() == {"name": "Prod", **body}
    assert own.api.get("/environments/prod").json()["name"] == "Prod"
    assert [found["name"] for found in own.api.get("/environments").json()["environments"]] == ["Prod"]
    assert own.api.delete("/environments/PROD").status_code == 204
    assert own.api.get("/environments/prod").status_code == 404
    assert own.api.put("/environments/x", json={"approvals": -1}).status_code in (400, 422)


# Concurrency


def test_runs_of_a_group_run_one_after_the_other_and_the_newest_waits_in_the_place_of_others(
    own: ServerProcess, make_agent: Agents
) -> None:
    text = flow(job("deploy"), "concurrency: deploy")
    first, second, third = (
        own.submit(text),
        own.submit(text),
        own.submit(text.replace("deploy\n", "Deploy\n")),
    )
    replaced = ended(own, second, "cancelled")
    assert replaced["jobs"][0]["conclusion"] == "cancelled"
    assert "concurrency group" in own.run(third)["jobs"][0]["waiting"]
    agent = make_agent(own).connect()
    succeed(agent)
    ended(own, first, "success")
    succeed(agent)
    ended(own, third, "success")


def test_what_is_in_progress_is_cancelled_when_the_newer_run_says_so(
    own: ServerProcess, make_agent: Agents
) -> None:
    text = flow(job("deploy"), "concurrency: {group: g, cancel-in-progress: true}")
    agent = make_agent(own).connect()
    first = own.submit(text)
    assign = agent.take()
    second = own.submit(text)
    from agent.wire import messages as m

    agent.hear(m.Cancel, job=assign.job)
    agent.finish(assign, journal(assign, conclusion=Conclusion.CANCELLED))
    ended(own, first, "cancelled")
    succeed(agent)
    ended(own, second, "success")


def test_jobs_of_different_runs_share_a_group_in_order_when_many_may_wait(
    own: ServerProcess, make_agent: Agents
) -> None:
    text = flow(job("deploy", "concurrency: {group: g, queue: max}, "))
    started = [own.submit(text) for _ in range(3)]
    wait_for(lambda: own.run(started[0])["jobs"][0]["status"] == "queued")
    agent = make_agent(own).connect()
    for run in started:
        succeed(agent)
        ended(own, run, "success")


def test_a_circle_of_runs_that_wait_for_each_other_is_broken(own: ServerProcess, make_agent: Agents) -> None:
    text = (
        "on: workflow_dispatch\nconcurrency: {a}\njobs:\n  one: {{runs-on: linux, steps: [{{run: x}}]}}\n"
        "  two: {{needs: one, concurrency: {b}, runs-on: linux, steps: [{{run: x}}]}}\n"
    )
    first, second = own.submit(text.format(a="A", b="B")), own.submit(text.format(a="B", b="A"))
    agent = make_agent(own).connect(max_jobs=2)
    succeed(agent, "one")
    succeed(agent, "one")
    wait_for(lambda: {own.run(run)["conclusion"] for run in (first, second)} & {"cancelled"})
    succeed(agent, "two")
    wait_for(
        lambda: {own.run(first)["conclusion"], own.run(second)["conclusion"]} == {"cancelled", "success"}
    )


# Re-runs, forced cancels, names, called flows


def test_failed_jobs_run_again_and_the_earlier_attempt_stays_readable(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit(flow(job("a") + job("b", "needs: a, ") + job("c", "needs: b, ")))
    agent = make_agent(own).connect()
    succeed(agent, "a")
    fail(agent)
    before = ended(own, run, "failure")
    answer = own.api.post(f"/runs/{run}/rerun", json={"failed": True, "debug": True})
    assert answer.status_code == 201
    assign = agent.take()
    assert (assign.spec.key, assign.spec.contexts["github"]["run_attempt"]) == ("b", "2")
    assert assign.spec.contexts["vars"]["ACTIONS_STEP_DEBUG"] == "true"
    agent.finish(assign, journal(assign))
    succeed(agent, "c")
    after = ended(own, run, "success")
    assert after["attempt"] == 2
    assert [(row["key"], row["run_attempt"]) for row in after["jobs"]] == [("a", 1), ("b", 2), ("c", 2)]
    first = own.api.get(f"/runs/{run}", params={"attempt": 1}).json()
    assert (first["attempt"], first["conclusion"]) == (1, "failure")
    assert [(row["id"], row["conclusion"]) for row in first["jobs"]] == [
        (row["id"], row["conclusion"]) for row in before["jobs"]
    ]
    assert own.api.get(f"/runs/{run}", params={"attempt": 3}).status_code == 404
    kinds = [kind for _id, kind, _data in own.events(f"/runs/{run}/events")]
    assert kinds[-1] == "end"


def test_a_run_that_goes_on_is_not_run_again_and_nothing_failed_is_said(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit(flow(job("a")))
    assert own.api.post(f"/runs/{run}/rerun", json={}).status_code == 422
    succeed(make_agent(own).connect())
    ended(own, run, "success")
    assert own.api.post(f"/runs/{run}/rerun", json={"failed": True}).status_code == 422
    assert own.api.post(f"/runs/{run}/rerun", json={"jobs": ["x"]}).status_code == 422
    assert own.api.post("/runs/999/rerun", json={}).status_code == 404


def test_a_forced_cancel_ends_the_run_at_once_and_its_agent_is_told(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit(flow(job("train", "if: always(), ")))
    agent = make_agent(own).connect()
    assign = agent.take()
    wait_for(lambda: own.run(run)["status"] == "running")
    own.api.post(f"/runs/{run}/cancel", json={"force": True})
    ended(own, run, "cancelled")
    from agent.wire import messages as m

    agent.hear(m.Revoke, job=assign.job)


def test_a_run_has_the_name_that_its_flow_gives_it(own: ServerProcess) -> None:
    head = "name: Train\nrun-name: 'Train ${{ vars.MODEL }}'"
    run = own.submit(flow(job("a"), head), vars={"MODEL": "resnet"})
    shown = own.run(run)
    assert (shown["name"], shown["run_name"]) == ("Train", "Train resnet")
    assert own.run(own.submit(flow(job("a"), "name: Train")))["run_name"] == "Train"


def test_called_flows_come_with_the_submission_and_are_kept(own: ServerProcess, make_agent: Agents) -> None:
    called = {"./inner.yml": "on: workflow_call\njobs: {work: {runs-on: linux, steps: [{run: x}]}}"}
    text = "on: workflow_dispatch\njobs: {call: {uses: ./inner.yml}}"
    body = {"flow": {"file": "f.yml", "text": text, "called": called}}
    run = own.api.post("/runs", json=body).json()["run"]
    own.restart_after_kill()
    agent = make_agent(own).connect()
    succeed(agent, "call / work")
    shown = ended(own, run, "success")
    assert [row["key"] for row in shown["jobs"]] == ["call / work"]
    missing = own.api.post("/runs", json={"flow": {"file": "f.yml", "text": text}})
    assert missing.status_code == 422
    assert "./inner.yml" in missing.text


def test_viewers_hear_why_a_job_waits_of_which_there_is_no_row(own: ServerProcess) -> None:
    own.api.put("/environments/prod", json={"approvals": 1})
    run = own.submit(flow(job("deploy", "environment: prod, ")))
    own.api.post(f"/runs/{run}/cancel", json={})
    said = [data for _id, kind, data in own.events(f"/runs/{run}/events") if kind == "waiting"]
    assert {"job": "deploy", "reason": "waits for an approval to enter the environment 'prod'"} in said


def test_the_command_line_runs_again_and_lets_jobs_in(own: ServerProcess, make_agent: Agents) -> None:
    own.api.put("/environments/prod", json={"approvals": 1})
    run = own.submit(flow(job("deploy", "environment: prod, ")))

    def agent_run(*words: object) -> str:
        there = ("--url", own.url, "--token", own.token)
        command = [sys.executable, "-m", "agent", "run", *map(str, words), *there]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert "waits for an approval" in agent_run("show", run)
    assert agent_run("approve", run, "--comment", "go") == "deploy may go on\n"
    agent = make_agent(own).connect()
    fail(agent)
    ended(own, run, "failure")
    assert f"run {run}: attempt 2 has begun" in agent_run("rerun", run, "--failed")
    assert agent_run("reject", run, "--job", "deploy") == "deploy may not go on\n"
    ended(own, run, "failure")
    assert "attempt 2" in agent_run("show", run)
    assert "attempt 2" not in agent_run("show", run, "--attempt", 1)
