"""Webhooks of a connected repository: from a signed delivery to runs, and why others don't start."""

import json
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from typing import Any

import pytest
from server.triggers.lab import FLOW, ON_PUSH, ZEROS, Lab
from server.triggers.payloads import github_pull, github_push
from server.vocabulary import TestAgent, journal, wait_for

from agent.server.triggers.signatures import sign_body

Labs = Callable[..., Lab]
Agents = Callable[..., TestAgent]


def test_connecting_finds_the_default_branch_and_its_flows(lab: Lab) -> None:
    assert (lab.facts["default_branch"], lab.facts["problem"]) == ("main", "")
    assert lab.facts["head"] == lab.repository.head
    (flow,) = lab.server.api.get("/flows").json()["flows"]
    assert (flow["name"], flow["title"], flow["repository"]) == (FLOW, "Train", lab.id)


def test_a_push_starts_the_flows_of_its_commit(lab: Lab, make_agent: Agents) -> None:
    lab.server.set_secret("DATA_KEY", "hunter2")
    delivery = lab.push({"a.py": "1"})
    (result,) = delivery["results"]
    assert (result["flow"], result["event"], result["problems"]) == (FLOW, "push", [])
    agent = make_agent(lab.server).connect()
    assign = agent.take()
    assert assign.spec.run == result["run"]
    source = assign.spec.source
    assert (source.url, source.ref, source.commit) == (
        f"{lab.host.url}/acme/lab",
        "refs/heads/main",
        lab.repository.head,
    )
    github = assign.spec.contexts["github"]
    assert (github["event_name"], github["actor"], github["sha"]) == ("push", "ada", lab.repository.head)
    assert github["event"]["head_commit"]["message"] == "work"
    assert agent.open(assign, "DATA_KEY") == "hunter2"
    agent.finish(assign, journal(assign))
    assert lab.server.wait_for_job(result["run"], status="completed")["conclusion"] == "success"


def test_a_run_that_starts_by_itself_sees_an_unset_secret_as_empty(lab: Lab, make_agent: Agents) -> None:
    delivery = lab.push({"a.py": "1"})
    assert delivery["results"][0]["run"]
    assert "DATA_KEY" not in make_agent(lab.server).connect().take().sealed


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"X-Hub-Signature-256": "sha256=" + "0" * 64}, "signature is not right"),
        ({"X-Hub-Signature-256": "sha1=" + "0" * 40}, "not HMAC-SHA256"),
        ({"X-Hub-Signature-256": ""}, "not signed"),
    ],
)
def test_a_delivery_without_the_right_signature_is_refused(
    lab: Lab, change: dict[str, str], why: str
) -> None:
    answer = lab.deliver("push", github_push(), **change)
    assert answer.status_code == 403
    assert why in answer.json()["detail"]
    assert lab.server.api.get("/deliveries").json()["deliveries"] == []


def test_who_guesses_a_webhook_learns_nothing(lab: Lab) -> None:
    body = json.dumps(github_push()).encode()
    headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={sign_body('guess', body)}"}
    answers = [
        lab.server.http.post(path, content=body, headers=headers)
        for path in ("/hooks/github/repo_none", lab.hook.replace("/github/", "/gitea/"))
    ]
    assert [answer.status_code for answer in answers] == [403, 403]


def test_guessing_a_secret_is_slowed_down(make_lab: Labs) -> None:
    lab = make_lab(server={"limits": {"failures_per_minute": 3}})
    codes = [
        lab.deliver("push", github_push(), **{"X-Hub-Signature-256": "sha256=00"}).status_code
        for _ in range(5)
    ]
    assert codes[-1] == 429
    assert lab.deliver("ping", {"repository": {"full_name": "acme/lab"}}).status_code == 202


def test_a_delivery_is_worked_off_once_however_often_it_comes(lab: Lab) -> None:
    before, after = lab.repository.head, lab.repository.commit({"a": "1"})
    payload = github_push(before=before, after=after)
    first = lab.deliver("push", payload, "one").json()
    again = lab.deliver("push", payload, "one").json()
    replayed = lab.deliver("push", payload, "two").json()  # the signature does not cover the id
    assert again["delivery"] is replayed["delivery"] is None
    assert "was here before" in replayed["outcome"]
    assert lab.settled(first["delivery"])["results"][0]["run"]
    assert len(lab.server.api.get("/runs").json()["runs"]) == 1


def test_a_body_over_the_limit_is_too_large(make_lab: Labs) -> None:
    lab = make_lab(server={"limits": {"hook_bytes": 1000}})
    assert lab.deliver("push", github_push(extra="x" * 1000)).status_code == 413


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff", b'{"a":' * 200 + b"1" + b"}" * 200, b'{"a": "\\ud800"}', b"{}"]
)
def test_a_signed_body_that_makes_no_sense_is_the_senders_problem(lab: Lab, body: bytes) -> None:
    headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={sign_body(lab.secret, body)}"}
    assert lab.server.http.post(lab.hook, content=body, headers=headers).status_code == 400


def test_a_ping_and_an_unknown_event_are_written_down(lab: Lab) -> None:
    for event, word in (("ping", "the webhook works"), ("star", "starts no flows")):
        answer = lab.deliver(event, {"repository": {"full_name": "acme/lab"}}).json()
        assert word in answer["outcome"]
        assert word in lab.settled(answer["delivery"])["outcome"]


def test_a_push_of_another_repository_starts_nothing_here(lab: Lab) -> None:
    payload = github_push() | {"repository": {"full_name": "evil/lab"}}
    assert "it is about evil/lab" in lab.deliver("push", payload).json()["outcome"]


def test_why_a_push_did_not_start_anything_is_said_in_words(lab: Lab) -> None:
    only = "on: {push: {branches: [release/*], paths: ['src/**']}}\n" + ON_PUSH.split("\n", 2)[2]
    delivery = lab.push({FLOW: only})
    assert [result["why"] for result in delivery["results"]] == ["its `branches` leave out 'main'"]
    assert delivery["outcome"] == "1 flow kept out by their filters"
    delivery = lab.push({FLOW: only.replace("release/*", "main")})
    assert delivery["results"][0]["why"] == "no changed file gets through its `paths`"
    assert lab.push({"src/a.py": "1"})["results"][0]["run"]
    assert (
        "no flow of the commit waits for 'push'"
        in lab.push({FLOW: "on: issues\n" + only.split("\n", 1)[1]})["outcome"]
    )


def test_a_commit_that_says_skip_ci_starts_nothing(lab: Lab) -> None:
    delivery = lab.push({"a": "1"}, message="work [skip ci]")
    assert (delivery["results"], delivery["outcome"]) == ([], "the commit's message says [skip ci]")


def test_a_flow_that_is_not_valid_is_told_with_its_problems(lab: Lab) -> None:
    delivery = lab.push({".github/workflows/bad.yml": "on: push\njobs:\n  a:\n    stepz: []\n"})
    results = {result["flow"]: result for result in delivery["results"]}
    assert results[FLOW]["run"]
    bad = results[".github/workflows/bad.yml"]
    assert bad["why"] == "it is not valid"
    assert any("stepz" in problem for problem in bad["problems"])
    known = {flow["name"]: flow["problems"] for flow in lab.server.api.get("/flows").json()["flows"]}
    assert known[".github/workflows/bad.yml"]
    assert not known[FLOW]


def test_only_files_right_in_the_folders_are_flows_and_links_are_none(lab: Lab) -> None:
    (lab.repository.folder / ".github/workflows/link.yml").symlink_to("train.yml")
    delivery = lab.push(
        {".github/workflows/deep/a.yml": ON_PUSH, ".flows/b.yaml": ON_PUSH, ".flows/c.txt": "x"}
    )
    assert sorted(result["flow"] for result in delivery["results"]) == [".flows/b.yaml", FLOW]


def test_what_lies_beside_flows_for_them_to_read_is_no_flow_that_is_not_valid(lab: Lab) -> None:
    delivery = lab.push(
        {".dstack/variables.yaml": "variables: {}\n", ".dstack/providers.yaml": "providers: []\n"}
    )
    assert [result["flow"] for result in delivery["results"]] == [FLOW]
    assert [flow["name"] for flow in lab.server.api.get("/flows").json()["flows"]] == [FLOW]


def test_a_tag_a_new_branch_and_a_deleted_one(lab: Lab) -> None:
    head = lab.repository.head
    lab.repository.git("tag", "-a", "v1", "-m", "one")
    tag = lab.repository.git("rev-parse", "v1")
    started = lab.deliver("push", github_push("refs/tags/v1", ZEROS, tag)).json()["delivery"]
    run = lab.settled(started)["results"][0]["run"]
    assert lab.server.run(run)["source"]["commit"] == head  # the commit, not the tag's own object
    lab.repository.git("branch", "topic")
    started = lab.deliver("push", github_push("refs/heads/topic", ZEROS, head)).json()["delivery"]
    assert lab.server.run(lab.settled(started)["results"][0]["run"])["source"]["ref"] == "refs/heads/topic"
    gone = lab.deliver("push", github_push("refs/heads/topic", head, ZEROS)).json()["delivery"]
    assert "was deleted" in lab.settled(gone)["outcome"]


def test_a_new_branch_is_held_against_where_it_began(lab: Lab) -> None:
    only = "on: {push: {paths: ['src/**']}}\n" + ON_PUSH.split("\n", 2)[2]
    lab.push({FLOW: only})
    lab.repository.git("checkout", "--quiet", "-b", "topic")
    lab.repository.commit({"src/a": "1"})
    head = lab.repository.commit({"docs": "1"})
    started = lab.deliver("push", github_push("refs/heads/topic", ZEROS, head)).json()["delivery"]
    assert lab.settled(started)["results"][0]["run"]  # the first of its commits counts too


def test_a_forced_push_whose_old_commit_is_gone_passes_path_filters(lab: Lab) -> None:
    only = "on: {push: {paths: ['src/**']}}\n" + ON_PUSH.split("\n", 2)[2]
    head = lab.repository.commit({FLOW: only})
    started = lab.deliver("push", github_push(before="d" * 40, after=head)).json()["delivery"]
    assert lab.settled(started)["results"][0]["run"]


def test_a_commit_that_the_repository_does_not_have_is_said_to_be_gone(lab: Lab) -> None:
    started = lab.deliver("push", github_push(after="d" * 40)).json()["delivery"]
    assert "is not in the repository" in lab.settled(started)["outcome"]


@pytest.mark.parametrize("ref", ["--upload-pack=touch", "refs/heads/../../x", "-x", ""])
def test_a_ref_that_git_could_take_for_something_else_does_no_harm(lab: Lab, ref: str) -> None:
    for payload in (
        github_push(ref, after="--output=/tmp/x"),
        github_push(ref, before="--output=/tmp/x", after=lab.repository.head),
    ):
        started = lab.deliver("push", payload).json()["delivery"]
        assert lab.settled(started)["status"] in ("done", "failed")


def test_a_request_to_merge_runs_on_the_merge(lab: Lab, make_agent: Agents) -> None:
    delivery = lab.request(a="1")
    (result,) = [result for result in delivery["results"] if result["event"] == "pull_request"]
    assign = make_agent(lab.server).connect().take()
    assert assign.spec.run == result["run"]
    github = assign.spec.contexts["github"]
    assert (github["ref"], github["sha"]) == ("refs/pull/5/merge", lab.merge)
    assert (github["head_ref"], github["base_ref"]) == ("topic", "main")


def test_a_forks_request_waits_for_approval_and_sees_no_secrets(lab: Lab, make_agent: Agents) -> None:
    lab.server.set_secret("DATA_KEY", "hunter2")
    lab.server.api.patch(f"/repositories/{lab.id}", json={"token": "repository-token"})
    delivery = lab.request(fork="stranger/lab", a="1")
    assert (delivery["status"], delivery["results"]) == ("held", [])
    assert "waits for approval" in delivery["outcome"]
    approved = lab.server.api.post(f"/deliveries/{delivery['id']}/approve")
    assert approved.status_code == 200, approved.text
    assert lab.settled(delivery["id"])["results"][0]["run"]
    agent = make_agent(lab.server).connect()
    assign = agent.take()
    assert sorted(assign.sealed) == ["ACTIONS_RUNTIME_TOKEN"]
    may_attach = {
        role: ask_to_attach(lab, assign.job, lab.server.add_user(f"{role}-to-attach", role=role))
        for role in ("runner", "maintainer", "admin")
    }
    assert may_attach == {"runner": 403, "maintainer": 403, "admin": 201}


def ask_to_attach(lab: Lab, job: str, token: str) -> int:
    with closing(lab.server.as_user(token)) as api:
        return api.post(f"/jobs/{job}/attach", json={}).status_code


def test_jobs_of_a_trusted_run_have_the_repositorys_token(lab: Lab, make_agent: Agents) -> None:
    lab.server.api.patch(f"/repositories/{lab.id}", json={"token": "ada:repository-token"})
    lab.push({"a": "1"})
    agent = make_agent(lab.server).connect()
    assign = agent.take()
    assert agent.open(assign, "GITHUB_TOKEN") == "repository-token"
    assert agent.open(assign, "ACTIONS_RUNTIME_TOKEN") != "repository-token"
    pusher = lab.server.add_user(str(assign.spec.contexts["github"]["actor"]), role="runner")
    assert ask_to_attach(lab, assign.job, pusher) == 403, "a name at the git host is nobody's here"


def test_an_approval_is_of_the_commits_that_were_seen(lab: Lab) -> None:
    first = lab.request(fork="stranger/lab", a="1")
    second = lab.request(fork="stranger/lab", action="synchronize", a="evil")
    refused = lab.server.api.post(f"/deliveries/{first['id']}/approve")
    assert refused.status_code == 409
    assert f"delivery {second['id']}" in refused.json()["hint"]
    assert lab.server.api.post(f"/deliveries/{second['id']}/approve").status_code == 200
    assert lab.settled(second["id"])["results"][0]["run"]
    assert lab.server.api.post(f"/deliveries/{second['id']}/approve").status_code == 409


def test_a_merge_that_moved_on_before_its_approval_is_not_run(make_lab: Labs) -> None:
    lab = make_lab()
    delivery = lab.request(fork="stranger/lab", a="1")
    lab.repository.git("update-ref", "refs/pull/5/merge", lab.repository.commit({"evil": "1"}))
    lab.server.api.post(f"/deliveries/{delivery['id']}/approve")
    waiting = wait_for(
        lambda: (
            (shown := lab.server.api.get(f"/deliveries/{delivery['id']}").json())["again"]
            and shown["outcome"].startswith("the merge of this head")
            and shown
        )
    )
    assert waiting["results"] == []
    assert lab.server.api.get("/runs").json()["runs"] == []


def test_a_repository_may_say_that_forks_start_nothing(make_lab: Labs) -> None:
    lab = make_lab(forks="never")
    delivery = lab.request(fork="stranger/lab", a="1")
    assert delivery["status"] == "done"
    assert "starts nothing for forks" in delivery["outcome"]


def test_pull_request_target_runs_the_default_branchs_flow_with_secrets(lab: Lab, make_agent: Agents) -> None:
    lab.server.set_secret("DATA_KEY", "hunter2")
    target = ON_PUSH.replace("[push, pull_request, workflow_dispatch]", "pull_request_target")
    lab.push({FLOW: target})
    evil = target.replace("echo", "echo evil")
    delivery = lab.request(fork="stranger/lab", **{".github__workflows__train.yml": evil})
    assert [result["event"] for result in delivery["results"]] == ["pull_request_target"]
    agent = make_agent(lab.server).connect()
    assign = agent.take()
    github = assign.spec.contexts["github"]
    assert (github["ref"], github["sha"]) == ("refs/heads/main", lab.repository.head)
    assert "evil" not in str(assign.spec.steps[0].run)
    assert agent.open(assign, "DATA_KEY") == "hunter2"


def test_a_closed_request_starts_only_who_waits_for_that(lab: Lab) -> None:
    delivery = lab.request(a="1")
    closed = lab.deliver("pull_request", github_pull("closed", head=lab.head)).json()["delivery"]
    assert delivery["results"][0]["run"]
    shown = lab.settled(closed)
    assert [result["why"] for result in shown["results"]] == ["its `types` leave out 'closed'"]


def test_events_without_a_commit_run_on_the_default_branch(lab: Lab) -> None:
    lab.push(
        {FLOW: ON_PUSH.replace("[push, pull_request, workflow_dispatch]", "{issues: {types: [opened]}}")}
    )
    payload = {"action": "opened", "repository": {"full_name": "acme/lab"}, "sender": {"login": "ada"}}
    run = lab.settled(lab.deliver("issues", payload).json()["delivery"])["results"][0]["run"]
    shown = lab.server.run(run)
    assert (shown["event"], shown["source"]["ref"], shown["source"]["commit"]) == (
        "issues",
        "refs/heads/main",
        lab.repository.head,
    )


def test_a_host_that_is_away_is_asked_again(lab: Lab) -> None:
    lab.host.status = 503
    before, after = lab.repository.head, lab.repository.commit({"a": "1"})
    number = lab.deliver("push", github_push(before=before, after=after)).json()["delivery"]
    shown = wait_for(
        lambda: (
            (found := lab.server.api.get(f"/deliveries/{number}").json())["attempts"]
            and found["outcome"]
            and found
        )
    )
    assert shown["status"] == "waiting"
    assert shown["again"]
    lab.host.status = 0
    assert lab.settled(number)["results"][0]["run"]


def test_repeating_a_delivery_starts_nothing_twice(lab: Lab) -> None:
    delivery = lab.push({"a": "1"})
    assert lab.server.api.post(f"/deliveries/{delivery['id']}/repeat").status_code == 200
    again = lab.settled(delivery["id"])
    assert again["results"] == delivery["results"]
    assert len(lab.server.api.get("/runs").json()["runs"]) == 1


def test_what_was_taken_in_before_a_crash_is_worked_off_after_it(lab: Lab) -> None:
    lab.host.status = 503
    before, after = lab.repository.head, lab.repository.commit({"a": "1"})
    number = lab.deliver("push", github_push(before=before, after=after)).json()["delivery"]
    wait_for(lambda: lab.server.api.get(f"/deliveries/{number}").json()["outcome"])
    lab.server.kill()
    lab.host.status = 0
    lab.server.start()
    assert lab.settled(number)["results"][0]["run"]


ONLY_SOURCES = (
    "on: {push: {paths: ['src/**']}, pull_request: {types: [closed, opened], paths: ['src/**']}}\n"
    + ON_PUSH.split("\n", 2)[2]
)


def test_a_new_branch_is_held_against_the_commits_that_its_event_names(lab: Lab) -> None:
    """Two branches, one on top of the other, come together; and by the time that is looked at, main has both."""
    git = lab.repository.git
    lab.push({FLOW: ONLY_SOURCES})
    git("checkout", "--quiet", "-b", "one")
    first = lab.repository.commit({"src/a": "1"})
    git("checkout", "--quiet", "-b", "two")
    second = lab.repository.commit({"docs": "1"})
    git("branch", "-f", "main", "two")
    settled = []
    for name, head, commits in (("one", first, [first]), ("two", second, [second])):
        named = [{"id": commit, "message": "work"} for commit in commits]
        payload = github_push(f"refs/heads/{name}", ZEROS, head, commits=named)
        settled.append(lab.settled(lab.deliver("push", payload).json()["delivery"])["results"][0])
    assert settled[0]["run"]
    assert settled[1]["why"] == "no changed file gets through its `paths`"


def test_a_new_branch_at_an_old_commit_starts_its_flows_and_says_why(lab: Lab) -> None:
    lab.push({FLOW: ONLY_SOURCES})
    lab.repository.git("branch", "again")
    payload = github_push("refs/heads/again", ZEROS, lab.repository.head, commits=[])
    (result,) = lab.settled(lab.deliver("push", payload).json()["delivery"])["results"]
    assert result["run"]
    assert (
        result["why"]
        == "its path filters let it pass: the branch is new, and each of its commits was there before"
    )


@pytest.mark.parametrize("way", ["merge", "squash"])
def test_a_merged_request_is_held_against_where_it_left_its_base(lab: Lab, way: str) -> None:
    git = lab.repository.git
    lab.push({FLOW: ONLY_SOURCES})
    base = lab.repository.head
    lab.request(src__a="1")
    git("merge", "--quiet", *(["--squash"] if way == "squash" else ["--no-ff", "-m", "merged"]), lab.head)
    if way == "squash":
        git("commit", "--quiet", "-m", "squashed")
    merged = lab.repository.head
    for claimed in (base, merged):  # some hosts tell of the base as it is after the merge
        payload = github_pull("closed", head=lab.head, base=claimed, merged=True, merge_commit_sha=merged)
        results = lab.settled(lab.deliver("pull_request", payload).json()["delivery"])["results"]
        started = [one for one in results if one["event"] == "pull_request" and one["run"]]
        assert started, results
        assert lab.server.run(started[0]["run"])["source"]["ref"] == "refs/heads/main"


def test_a_request_that_was_closed_without_a_merge_has_its_merges_ref(lab: Lab) -> None:
    lab.push({FLOW: ONLY_SOURCES})
    lab.request(src__a="1")
    lab.repository.git("update-ref", "-d", "refs/pull/5/merge")
    payload = github_pull("closed", head=lab.head, base=lab.repository.head)
    (result,) = lab.settled(lab.deliver("pull_request", payload).json()["delivery"])["results"]
    source = lab.server.run(result["run"])["source"]
    assert (source["ref"], source["commit"]) == ("refs/pull/5/merge", lab.head)


def test_who_was_approved_is_not_held_again_at_the_same_head(lab: Lab) -> None:
    lab.push({FLOW: ONLY_SOURCES.replace("closed, opened", "opened, labeled")})
    first = lab.request(fork="stranger/lab", src__a="1")
    assert first["status"] == "held"
    labeled = github_pull("labeled", head=lab.head, base=lab.repository.head, fork="stranger/lab")
    before = lab.settled(lab.deliver("pull_request", labeled).json()["delivery"])
    assert before["status"] == "held"
    lab.server.api.post(f"/deliveries/{first['id']}/approve")
    assert lab.settled(first["id"])["results"][0]["run"]
    after = lab.settled(lab.deliver("pull_request", {**labeled, "label": {"name": "x"}}).json()["delivery"])
    assert (after["status"], bool(after["results"][0]["run"])) == ("done", True)
    moved = lab.request(fork="stranger/lab", action="synchronize", src__a="2")
    assert moved["status"] != "done" or not [one for one in moved["results"] if one["run"]]


def test_a_delivery_that_our_own_settings_refused_is_worked_off_when_they_are_mended(lab: Lab) -> None:
    before, after = lab.repository.head, lab.repository.commit({"a": "1"})
    right = lab.facts["url"]
    lab.repository.git("clone", "--quiet", "--bare", ".", str(lab.host.root / "acme" / "old"))
    lab.server.api.patch(f"/repositories/{lab.id}", json={"url": right.replace("/lab", "/old")})
    number = lab.deliver("push", github_push(before=before, after=after)).json()["delivery"]
    assert "it is about acme/lab" in lab.settled(number)["outcome"]
    lab.server.api.patch(f"/repositories/{lab.id}", json={"url": right})
    assert lab.server.api.post(f"/deliveries/{number}/repeat").status_code == 200
    assert lab.settled(number)["results"][0]["run"]


def test_a_host_that_wants_to_be_left_alone_is_asked_when_it_says(lab: Lab) -> None:
    lab.host.status, lab.host.headers = 429, {"Retry-After": "1200"}
    before, after = lab.repository.head, lab.repository.commit({"a": "1"})
    number = lab.deliver("push", github_push(before=before, after=after)).json()["delivery"]

    def look() -> Any:
        shown = lab.server.api.get(f"/deliveries/{number}").json()
        return shown if "asked too often" in shown["outcome"] else None

    shown = wait_for(look)
    later = datetime.fromisoformat(shown["again"]) - datetime.fromisoformat(shown["received"])
    assert (shown["status"], later.total_seconds() > 1100) == ("waiting", True)
