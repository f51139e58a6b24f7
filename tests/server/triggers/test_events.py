"""Every event and activity of the three hosts: what it starts, at which ref and commit, replayed through a real server.

Source: GitHub's documentation, "Events that trigger workflows"; Gitea's and GitLab's, "Webhooks", "Webhook events".
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from server.triggers.lab import FLOW, ZEROS, Lab
from server.triggers.payloads import (
    gitea_push,
    github_pull,
    github_push,
    github_repository,
    gitlab_merge_request,
    gitlab_project,
    gitlab_push,
)

from agent.flow.activity_types import ACTIVITY_TYPES, BY_DEFAULT
from agent.server.triggers import locating
from agent.server.triggers.signatures import sign_body

OURS = ("image_version", "pull_request_target", "pull_request_comment")  # no webhook has their names
BARE = f"on: [{', '.join(name for name in ACTIVITY_TYPES)}]\n"
JOBS = "jobs:\n  a:\n    runs-on: linux\n    steps: [{run: 'true'}]\n"
NAMED_FLOW = ".github/workflows/named.yml"
REQUESTS = ", ".join(ACTIVITY_TYPES["pull_request"])
NAMED = f"on: {{pull_request: {{types: [{REQUESTS}]}}, pull_request_target: {{types: [{REQUESTS}]}}}}\n{JOBS}"


class Row(NamedTuple):
    """One delivery: what is sent, and of each run that it starts file, event, ref and commit."""

    event: str  # as the host's header says
    action: str
    payload: Mapping[str, Any]
    runs: tuple[tuple[str, str, str, str], ...]
    why: str = ""  # what is said where nothing starts


def make_rows(lab: Lab, places: Mapping[str, str]) -> Iterator[Row]:
    """GitHub's events; `places` are the commits by what they are."""
    main = ("refs/heads/main", places["main"])
    where: dict[str, tuple[str, str]] = {
        "create": ("refs/heads/made", places["made"]),
        "deployment": ("refs/heads/made", places["made"]),
        "deployment_status": ("refs/heads/made", places["made"]),
        "merge_group": ("refs/heads/gh-readonly-queue/main/pr-5", places["group"]),
        "registry_package": ("refs/tags/v1", places["tag"]),
        "release": ("refs/tags/v1", places["tag"]),
        "push": ("refs/heads/made", places["made"]),
    }
    deployment = {"sha": places["made"], "ref": "made"}
    more: dict[str, dict[str, Any]] = {
        "create": {"ref": "made", "ref_type": "branch"},
        "delete": {"ref": "gone", "ref_type": "branch"},
        "deployment": {"deployment": deployment},
        "deployment_status": {"deployment": deployment, "deployment_status": {"state": "success"}},
        "merge_group": {"merge_group": {
            "head_ref": "refs/heads/gh-readonly-queue/main/pr-5", "head_sha": places["group"], "base_ref": "refs/heads/main"}},
        "registry_package": {"registry_package": {
            "package_version": {"target_oid": places["tag"], "release": {"tag_name": "v1"}}}},
        "release": {"release": {"tag_name": "v1", "target_commitish": "main", "draft": False}},
        "push": github_push("refs/heads/made", ZEROS, places["made"]),
    }  # fmt: skip
    for event, types in ACTIVITY_TYPES.items():
        if event in OURS or event == "pull_request":
            continue
        if event.startswith("pull_request"):
            ref, commit = "refs/pull/5/merge", lab.merge
            payload = github_pull(head=lab.head, base=places["main"])
        else:
            ref, commit = where.get(event, main)
            payload = {"repository": github_repository(), "sender": {"login": "ada"}, **more.get(event, {})}
        for action in types or ("",):
            sent = {**payload, "action": action} if action else payload
            yield Row(event, action, sent, ((FLOW, event, ref, commit),))
    for action in ACTIVITY_TYPES["pull_request"]:
        merge = ("refs/pull/5/merge", lab.merge)
        files = (FLOW, NAMED_FLOW) if action in BY_DEFAULT["pull_request"] else (NAMED_FLOW,)
        runs = [(file, "pull_request", *merge) for file in files]
        runs += [(file, "pull_request_target", *main) for file in files]
        yield Row(
            "pull_request", action, github_pull(action, head=lab.head, base=places["main"]), tuple(runs)
        )
    plain = {"repository": github_repository(), "sender": {"login": "ada"}}
    yield Row("check_suite", "requested", {**plain, "action": "requested"}, (), "leave out 'requested'")
    yield Row("merge_group", "destroyed", {**plain, **more["merge_group"], "action": "destroyed"}, (), "leave out 'destroyed'")  # fmt: skip
    inactive = {**plain, "deployment": deployment, "deployment_status": {"state": "inactive"}}
    yield Row("deployment_status", "created", {**inactive, "action": "created"}, (), "becomes inactive")
    draft = {"release": {"tag_name": "v1", "draft": True}, "action": "edited"}
    yield Row("release", "edited", {**plain, **draft}, (), "of a draft")
    bare = {**plain, "deployment": {"sha": places["made"], "ref": places["made"]}}
    yield Row("deployment", "created", bare, ((FLOW, "deployment", "", places["made"]),))
    tag = github_push("refs/tags/v1", ZEROS, places["tag object"])
    yield Row("push", "", tag, ((FLOW, "push", "refs/tags/v1", places["tag"]),))  # it has moved on since
    gone = github_push("refs/tags/v0", ZEROS, places["tag"])
    yield Row("push", "", gone, (), "refs/tags/v0 was deleted since")
    yield Row("push", "", github_push("refs/notes/commits"), (), "starts no flows")
    yield Row("push", "", github_push(""), (), "starts no flows")
    closed = github_pull("closed", head=lab.head, base=places["main"], merged=True, merge_commit_sha=places["group"])  # fmt: skip
    merged = ("refs/heads/main", places["group"])
    yield Row("pull_request", "merged", closed, (
        (NAMED_FLOW, "pull_request", *merged), (NAMED_FLOW, "pull_request_target", *main)))  # fmt: skip


def prepare(lab: Lab) -> dict[str, str]:
    """The commits that the rows are about; the tag v1 is another one by now."""
    git = lab.repository.git
    lab.push({FLOW: BARE + JOBS, NAMED_FLOW: NAMED})
    places = {"tag": lab.repository.head}
    git("tag", "-a", "v1", "-m", "one")
    places["tag object"] = git("rev-parse", "v1")
    git("branch", "kept")
    places["main"] = lab.repository.commit({"b": "1"})
    git("checkout", "--quiet", "-b", "made")
    places["made"] = lab.repository.commit({"made": "1"})
    git("checkout", "--quiet", "-b", "gh-readonly-queue/main/pr-5", "main")
    places["group"] = lab.repository.commit({"group": "1"})
    git("checkout", "--quiet", "main")
    lab.request(a="1")
    return places


def replay(lab: Lab, rows: list[Row]) -> dict[str, object]:
    """What differs: what was started, by row."""
    numbers = []
    for place, row in enumerate(rows):
        answer = lab.deliver(row.event, {**row.payload, "row": place})
        assert answer.status_code == 202, (row, answer.text)
        numbers.append(answer.json()["delivery"])
    found: dict[str, object] = {}
    for row, number in zip(rows, numbers, strict=True):
        shown = lab.settled(number)
        started = []
        for result in shown["results"]:
            if result["run"] is not None:
                source = lab.server.run(result["run"])["source"]
                started.append((result["flow"], result["event"], source["ref"], source["commit"]))
        said = [shown["outcome"], *(result["why"] for result in shown["results"])]
        if sorted(started) != sorted(row.runs) or not any(row.why in words for words in said):
            found[f"{row.event} {row.action}"] = started or said
    return found


def test_each_event_and_activity_starts_what_it_should_at_its_own_commit(lab: Lab) -> None:
    places = prepare(lab)
    rows = list(make_rows(lab, places))
    lab.repository.git("tag", "-f", "-a", "v1", "-m", "moved", "made")
    for number, row in enumerate(rows):  # a release and a package are of the tag as it is now
        if row.event == "release" and row.runs:
            rows[number] = row._replace(runs=((FLOW, "release", "refs/tags/v1", places["made"]),))
    assert replay(lab, rows) == {}


def deliver(lab: Lab, event: str, payload: Mapping[str, Any], number: int) -> int:
    """Send what Gitea or GitLab would send; the delivery's number."""
    body = json.dumps(payload).encode()
    if lab.facts["provider"] == "gitea":
        signed = {"X-Gitea-Event": event, "X-Gitea-Delivery": f"g-{number}"}
        signed["X-Gitea-Signature"] = sign_body(lab.secret, body)
    else:
        signed = {"X-Gitlab-Event": event, "X-Gitlab-Token": lab.secret, "Idempotency-Key": f"l-{number}"}
    headers = {"Content-Type": "application/json", **signed}
    answer = lab.server.http.post(lab.hook, content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return int(answer.json()["delivery"])


def list_started(lab: Lab, number: int) -> list[tuple[str, str]]:
    """Event and activity of each run that the delivery started."""
    runs = [result["run"] for result in lab.settled(number)["results"] if result["run"]]
    shown = [lab.server.api.get(f"/runs/{run}").json() for run in runs]
    return sorted((run["event"], run["source"]["ref"]) for run in shown)


def test_giteas_events_start_what_githubs_do(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab("gitea")
    flow = f"on: [{', '.join(name for name in ACTIVITY_TYPES if not name.startswith('pull'))}]\n{JOBS}"
    lab.repository.commit({FLOW: flow, NAMED_FLOW: NAMED})
    head = lab.repository.head
    lab.repository.git("update-ref", "refs/pull/5/head", head)
    lab.repository.git("tag", "v1")
    fork, own = github_repository("stranger/lab"), github_repository()
    main, request = "refs/heads/main", "refs/pull/5/head"
    plain = {"repository": own, "sender": {"login": "ada"}}
    rows: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
        ("push", gitea_push(after=head, commits=[{"id": head, "message": "m"}]), [("push", main)]),
        ("create", {**plain, "ref": "v1", "ref_type": "tag"}, [("create", "refs/tags/v1")]),
        ("issues", {**plain, "action": "label_updated"}, [("issues", main)]),
        ("issues", {**plain, "action": "label_cleared"}, [("issues", main)]),
        (
            "release",
            {**plain, "action": "updated", "release": {"tag_name": "v1"}},
            [("release", "refs/tags/v1")],
        ),
        ("fork", {"repository": fork, "forkee": own, "sender": {"login": "ada"}}, [("fork", main)]),
    ]
    for word in (
        "opened",
        "synchronized",
        "label_updated",
        "label_cleared",
        "assigned",
        "milestoned",
        "review_requested",
    ):
        payload = github_pull(word, head=head, base=head)
        rows.append(("pull_request", payload, [("pull_request", request), ("pull_request_target", main)]))
    numbers = [deliver(lab, event, {**payload, "row": n}, n) for n, (event, payload, _) in enumerate(rows)]
    assert [list_started(lab, number) for number in numbers] == [wanted for _, _, wanted in rows]


def test_gitlabs_events_start_what_githubs_do(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab("gitlab")
    lab.repository.commit({FLOW: f"on: [push]\n{JOBS}", NAMED_FLOW: NAMED})
    head = lab.repository.head
    git = lab.repository.git
    git("tag", "v1")
    git("checkout", "--quiet", "-b", "topic")
    topic = lab.repository.commit({"a": "1"})
    git("checkout", "--quiet", "--detach", "main")
    git("merge", "--quiet", "--no-ff", "-m", "merge", "topic")
    git("update-ref", "refs/merge-requests/5/merge", "HEAD")
    git("update-ref", "refs/merge-requests/5/head", topic)
    git("checkout", "--quiet", "main")
    project = {**gitlab_project(), "path_with_namespace": "acme/lab"}
    ada, bob, label = {"id": 4, "username": "ada"}, {"id": 5, "username": "bob"}, {"id": 9, "title": "gpu"}

    def request(action: str, **changes: Any) -> dict[str, Any]:
        made = gitlab_merge_request(action, last_commit={"id": topic, "message": "m"}, target_branch_sha=head)
        return {**made, "project": project, "changes": changes}

    both = [("pull_request", "refs/merge-requests/5/merge"), ("pull_request_target", "refs/heads/main")]
    rows: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
        ("Push Hook", gitlab_push(after=head, project=project), [("push", "refs/heads/main")]),
        (
            "Tag Push Hook",
            gitlab_push(ref="refs/tags/v1", before=ZEROS, after=head, project=project),
            [("push", "refs/tags/v1")],
        ),
        ("Merge Request Hook", request("open"), both),
        ("Merge Request Hook", request("update", labels={"previous": [], "current": [label]}), both),
        ("Merge Request Hook", request("update", assignees={"previous": [], "current": [ada]}), both),
        ("Merge Request Hook", request("update", reviewers={"previous": [bob], "current": []}), both),
        ("Merge Request Hook", request("update", milestone_id={"previous": None, "current": 3}), both),
        ("Merge Request Hook", request("update", updated_at={"previous": "a", "current": "b"}), []),
    ]
    numbers = [deliver(lab, event, {**payload, "row": n}, n) for n, (event, payload, _) in enumerate(rows)]
    assert [list_started(lab, number) for number in numbers] == [wanted for _, _, wanted in rows]
    runs = {run["id"]: run for run in lab.server.api.get("/runs").json()["runs"]}
    assert len(runs) == 2 + 5 * 2


def test_the_table_in_the_docs_is_the_one_of_the_code() -> None:
    rows = [line for line in str(locating.__doc__).splitlines() if line.startswith("|")]
    docs = (Path(__file__).parents[3] / "docs/triggers.md").read_text(encoding="utf-8")
    assert len(rows) > 10
    assert "\n".join(rows) in docs
