"""Which flows a delivery starts, and why others don't."""

import pytest
from server.triggers.payloads import github_pull, github_push

from agent.flow.load import load_flow
from agent.flow.model import Flow
from agent.server.triggers.matching import event_names, explain_no_start, find_skip, wants_paths
from agent.server.triggers.providers import READERS


def flow(on: str) -> Flow:
    text = f"on: {on}\njobs:\n  a:\n    runs-on: x\n    steps: [{{run: 'true'}}]\n"
    return load_flow(text, "a.yml").flow


def push(on: str, ref: str = "refs/heads/main", paths: tuple[str, ...] | None = ()) -> str | None:
    delivery = READERS["github"]("push", github_push(ref))
    return explain_no_start(flow(on), delivery, "push", paths)


def pull(on: str, event: str = "pull_request", action: str = "opened") -> str | None:
    delivery = READERS["github"]("pull_request", github_pull(action))
    return explain_no_start(flow(on), delivery, event, ("a.py",))


def test_a_flow_without_the_event_has_nothing_to_say() -> None:
    assert push("workflow_dispatch") == ""


@pytest.mark.parametrize(
    ("on", "ref", "paths"),
    [
        ("push", "refs/heads/main", ()),
        ("{push: {branches: [main]}}", "refs/heads/main", ()),
        ("{push: {tags: ['v*']}}", "refs/tags/v1", ()),
        ("{push: {branches: [main], paths: ['**.py']}}", "refs/heads/main", ("a/b.py",)),
        ("{push: {tags: ['v*'], paths: ['**.py']}}", "refs/tags/v1", ()),  # tags have no changed files
        ("{push: {paths: ['**.py']}}", "refs/heads/main", None),  # they can't be known: it runs
        ("{push: {paths-ignore: [docs/**]}}", "refs/heads/main", ("docs/a", "src/b")),
    ],
)
def test_a_push_starts_what_its_filters_let_in(on: str, ref: str, paths: tuple[str, ...] | None) -> None:
    assert push(on, ref, paths) is None


@pytest.mark.parametrize(
    ("on", "ref", "paths", "why"),
    [
        ("{push: {branches: [main]}}", "refs/heads/dev", (), "its `branches` leave out 'dev'"),
        ("{push: {tags: ['v*']}}", "refs/heads/main", (), "its `tags` leave out 'main'"),
        (
            "{push: {branches-ignore: [main]}}",
            "refs/heads/main",
            (),
            "its `branches-ignore` leave out 'main'",
        ),
        (
            "{push: {paths: ['**.py']}}",
            "refs/heads/main",
            ("a.md",),
            "no changed file gets through its `paths`",
        ),
        ("{push: {paths: ['**.py']}}", "refs/heads/main", (), "no changed file gets through its `paths`"),
        (
            "{push: {paths-ignore: [docs/**]}}",
            "refs/heads/main",
            ("docs/a",),
            "no changed file gets through its `paths-ignore`",
        ),
    ],
)
def test_what_is_kept_out_is_told_why(on: str, ref: str, paths: tuple[str, ...], why: str) -> None:
    assert push(on, ref, paths) == why


def test_a_pull_request_has_the_types_that_github_has() -> None:
    assert pull("pull_request") is None
    assert pull("pull_request", action="labeled") == "its `types` leave out 'labeled'"
    assert pull("{pull_request: {types: [labeled]}}", action="labeled") is None
    assert pull("{pull_request: {branches: [release/*]}}") == "its `branches` leave out 'main'"


def test_a_pull_request_is_two_events() -> None:
    delivery = READERS["github"]("pull_request", github_pull())
    assert event_names(delivery) == ("pull_request", "pull_request_target")
    assert pull("pull_request_target", "pull_request") == ""
    assert pull("pull_request_target", "pull_request_target") is None


def test_only_flows_with_path_filters_ask_for_paths() -> None:
    assert wants_paths(flow("{push: {paths: [a]}}"), "push")
    assert not wants_paths(flow("{push: {paths: [a]}}"), "pull_request")
    assert not wants_paths(flow("push"), "push")


@pytest.mark.parametrize(
    "message",
    [
        "work [skip ci]",
        "[CI SKIP] work",
        "a\n\nb [no ci]",
        "[skip actions]",
        "[actions skip]",
        "work\n\n\nskip-checks: true",
        "work\n\nmore\n\nSigned-off-by: A\nskip-checks:true\n",
    ],
)
def test_a_commit_can_ask_for_no_runs(message: str) -> None:
    for event, payload in (("push", github_push()), ("pull_request", github_pull())):
        assert find_skip(READERS["github"](event, payload), message)


@pytest.mark.parametrize("message", ["work", "skip ci", "skip-checks: true", "a\n\nskip-checks: true\n\nb"])
def test_other_words_ask_for_nothing(message: str) -> None:
    assert not find_skip(READERS["github"]("push", github_push()), message)


def test_other_events_are_not_skipped() -> None:
    delivery = READERS["github"]("issues", {"action": "opened"})
    assert not find_skip(delivery, "[skip ci]")
