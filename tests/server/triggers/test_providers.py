"""What each provider sends becomes one form, and GitHub's shape for `github.event`."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from server.triggers.payloads import (
    ZEROS,
    A,
    B,
    gitea_push,
    github_pull,
    github_push,
    github_repository,
    gitlab_merge_request,
    gitlab_push,
)

from agent.server.triggers.delivery import Delivery, UnknownEventError
from agent.server.triggers.providers import READERS


def read(provider: str, event: str, payload: Any) -> Delivery:
    return READERS[provider](event, payload)


def test_a_push_says_what_was_there_before_and_what_is_there_now() -> None:
    delivery = read("github", "push", github_push())
    assert (delivery.ref, delivery.before, delivery.after) == ("refs/heads/main", A, B)
    assert (delivery.repository, delivery.sender, delivery.default_branch) == ("acme/lab", "ada", "main")


def test_a_new_ref_has_no_before_and_a_deleted_one_no_after() -> None:
    assert read("github", "push", github_push(before=ZEROS)).before == ""
    assert read("github", "push", github_push(after=ZEROS)).after == ""
    assert read("gitlab", "Push Hook", gitlab_push(after=ZEROS, commits=[])).after == ""


def test_a_pull_request_is_held_against_its_base_branch() -> None:
    delivery = read("github", "pull_request", github_pull())
    assert (delivery.ref, delivery.action) == ("refs/heads/main", "opened")
    assert delivery.pull is not None
    assert (delivery.pull.number, delivery.pull.head, delivery.pull.is_fork) == (5, B, False)


@pytest.mark.parametrize("fork", ["stranger/lab", "acme/other"])
def test_a_pull_request_from_another_repository_is_a_forks(fork: str) -> None:
    pull = read("github", "pull_request", github_pull(fork=fork)).pull
    assert pull is not None
    assert pull.is_fork


def test_a_pull_request_whose_fork_is_gone_is_still_a_forks() -> None:
    payload = github_pull()
    payload["pull_request"]["head"]["repo"] = None
    pull = read("github", "pull_request", payload).pull
    assert pull is not None
    assert pull.is_fork


def test_gitea_speaks_githubs_shape_and_its_secret_is_not_kept() -> None:
    delivery = read("gitea", "push", gitea_push())
    assert (delivery.after, delivery.message) == (B, "work [skip ci]")
    assert delivery.payload["compare"] == "https://git.example.org/acme/lab/compare/a...b"
    assert "do-not-show" not in str(delivery.payload)


@pytest.mark.parametrize(
    ("event", "action", "wanted"),
    [
        ("pull_request", "synchronized", ("pull_request", "synchronize")),
        ("pull_request", "label_updated", ("pull_request", "labeled")),
        ("pull_request", "opened", ("pull_request", "opened")),
        ("pull_request_approved", "reviewed", ("pull_request_review", "submitted")),
        ("issues", "label_updated", ("issues", "labeled")),
        ("issues", "label_cleared", ("issues", "unlabeled")),
        ("issues", "opened", ("issues", "opened")),
        ("release", "updated", ("release", "edited")),
    ],
)
def test_giteas_own_words_become_githubs(event: str, action: str, wanted: tuple[str, str]) -> None:
    delivery = read("gitea", event, github_pull(action))
    assert (delivery.event, delivery.action) == wanted
    assert delivery.payload["action"] == wanted[1]


def test_a_gitlab_push_has_githubs_shape() -> None:
    event = read("gitlab", "Push Hook", gitlab_push()).payload
    assert event["head_commit"]["message"] == "work"
    assert event["repository"]["full_name"] == "research/acme/lab"
    assert event["repository"]["owner"]["login"] == "research/acme"
    assert event["repository"]["private"]
    assert event["sender"]["login"] == event["pusher"]["name"] == "ada"
    assert event["commits"][0]["added"] == ["a.py"]


def test_a_gitlab_push_with_ci_skip_is_skipped() -> None:
    assert read("gitlab", "Push Hook", gitlab_push(push_options={"ci": {"skip": True}})).is_skipped


def test_a_gitlab_tag_is_a_push_of_a_tag() -> None:
    delivery = read("gitlab", "Tag Push Hook", gitlab_push(object_kind="tag_push", ref="refs/tags/v1"))
    assert (delivery.event, delivery.ref) == ("push", "refs/tags/v1")


@pytest.mark.parametrize(
    ("facts", "action"),
    [
        ({"action": "open"}, "opened"),
        ({"action": "reopen"}, "reopened"),
        ({"action": "merge", "state": "merged"}, "closed"),
        ({"action": "update", "oldrev": A}, "synchronize"),
        ({"action": "update"}, "edited"),
    ],
)
def test_a_merge_request_is_a_pull_request(facts: dict[str, Any], action: str) -> None:
    delivery = read("gitlab", "Merge Request Hook", gitlab_merge_request(**facts))
    assert (delivery.event, delivery.action) == ("pull_request", action)
    pull = delivery.payload["pull_request"]
    assert (pull["head"]["ref"], pull["base"]["ref"], pull["number"]) == ("topic", "main", 5)
    assert pull["merged"] is (facts.get("state") == "merged")


def test_labels_and_drafts_of_a_merge_request_are_told_by_its_changes() -> None:
    def action(**changes: Any) -> str:
        payload = {**gitlab_merge_request("update"), "changes": changes}
        return read("gitlab", "Merge Request Hook", payload).action

    assert action(labels={"previous": [], "current": [{}]}) == "labeled"
    assert action(labels={"previous": [{}], "current": []}) == "unlabeled"
    assert action(draft={"previous": True, "current": False}) == "ready_for_review"
    assert action(draft={"previous": False, "current": True}) == "converted_to_draft"


def test_people_labels_and_milestones_of_a_merge_request_are_told_as_github_tells_them() -> None:
    ada, bob = {"id": 4, "username": "ada"}, {"id": 5, "username": "bob"}
    gpu, ml = {"id": 1, "title": "gpu", "color": "#ff0000"}, {"id": 2, "title": "ml"}

    def event(**changes: Any) -> Any:
        payload = {**gitlab_merge_request("update", author_id=5), "changes": changes, "reviewers": [bob]}
        return read("gitlab", "Merge Request Hook", payload).payload

    swapped = event(labels={"previous": [gpu], "current": [ml]})
    assert (swapped["action"], swapped["label"]["name"]) == ("labeled", "ml")
    gone = event(labels={"previous": [gpu, ml], "current": [ml]})
    assert (gone["action"], gone["label"]) == ("unlabeled", {"id": 1, "name": "gpu", "color": "ff0000"})
    assert event(assignees={"previous": [], "current": [ada]})["assignee"]["login"] == "ada"
    assert event(assignees={"previous": [ada], "current": []})["action"] == "unassigned"
    assert event(reviewers={"previous": [], "current": [bob]})["requested_reviewer"]["login"] == "bob"
    assert event(reviewers={"previous": [bob], "current": []})["action"] == "review_request_removed"
    assert event(milestone_id={"previous": None, "current": 3})["action"] == "milestoned"
    assert event(milestone_id={"previous": 3, "current": None})["action"] == "demilestoned"
    assert event(title={"previous": "a", "current": "b"}, updated_at={})["action"] == "edited"
    assert event(title={})["pull_request"]["user"] == {"id": 5, "login": "bob"}
    with pytest.raises(UnknownEventError, match="nothing but times"):
        event(updated_at={"previous": "a", "current": "b"}, time_estimate={"previous": 0, "current": 60})


def test_a_fork_at_gitea_is_an_event_of_what_was_forked() -> None:
    payload = {"repository": github_repository("bob/lab"), "forkee": github_repository("acme/lab")}
    delivery = read("gitea", "fork", payload)
    assert (delivery.repository, delivery.payload["forkee"]["full_name"]) == ("acme/lab", "bob/lab")


def test_a_merge_request_of_another_project_is_a_forks() -> None:
    payload = gitlab_merge_request(source_project_id=16)
    pull = read("gitlab", "Merge Request Hook", payload).pull
    assert pull is not None
    assert pull.is_fork


@pytest.mark.parametrize(
    ("event", "payload", "ref"),
    [
        ("release", {"action": "published", "release": {"tag_name": "v1"}}, "refs/tags/v1"),
        ("create", {"ref": "topic", "ref_type": "branch"}, "refs/heads/topic"),
        ("create", {"ref": "v1", "ref_type": "tag"}, "refs/tags/v1"),
        ("delete", {"ref": "topic", "ref_type": "branch"}, ""),
        ("issues", {"action": "opened"}, ""),
    ],
)
def test_an_event_names_the_ref_that_its_run_works_on(event: str, payload: Any, ref: str) -> None:
    assert read("github", event, payload).ref == ref


@pytest.mark.parametrize(
    ("provider", "event"),
    [
        ("github", "ping"),
        ("github", "workflow_run"),
        ("github", "schedule"),
        ("github", "run_finished"),
        ("github", "nonsense"),
        ("gitea", "nonsense"),
        ("gitlab", "Wiki Page Hook"),
        ("gitlab", "push"),
    ],
)
def test_what_starts_nothing_says_so(provider: str, event: str) -> None:
    with pytest.raises(UnknownEventError):
        read(provider, event, {})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "ref",
                    "after",
                    "before",
                    "commits",
                    "head_commit",
                    "pull_request",
                    "head",
                    "base",
                    "repo",
                    "repository",
                    "project",
                    "object_attributes",
                    "action",
                    "id",
                    "number",
                    "changes",
                    "labels",
                    "release",
                    "review",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)


@given(
    st.dictionaries(st.sampled_from(["ref", "pull_request", "object_attributes", "commits"]), _JSON), _JSON
)
def test_no_payload_however_strange_does_harm(payload: dict[str, Any], more: Any) -> None:
    payload |= more if isinstance(more, dict) else {}
    for provider, event in [
        *(("github", event) for event in ("push", "pull_request", "release", "create", "merge_group")),
        *(("gitea", event) for event in ("push", "pull_request", "pull_request_rejected")),
        *(("gitlab", event) for event in ("Push Hook", "Merge Request Hook")),
    ]:
        with contextlib.suppress(UnknownEventError):
            assert isinstance(read(provider, event, payload), Delivery)
