"""The `github` context from source and event."""

import pytest

from agent.flow.dialect import RunFacts
from agent.flow.dialects.github.contexts import start_contexts
from agent.flow.repository import split_repository
from agent.ids import RunId


@pytest.mark.parametrize(
    ("url", "server", "repository"),
    [
        ("https://github.com/acme/models.git", "https://github.com", "acme/models"),
        ("https://user:word@git.example.org/team/acme/models", "https://git.example.org", "acme/models"),
        ("git@git.example.org:acme/models.git", "https://git.example.org", "acme/models"),
        ("ssh://git@git.example.org:2222/acme/models.git", "https://git.example.org", "acme/models"),
        ("file:///srv/git/acme/models.git", "", "acme/models"),
        ("/srv/git/acme/models", "", "acme/models"),
        ("", "", ""),
    ],
)
def test_repository_and_server_come_from_the_url(url: str, server: str, repository: str) -> None:
    assert split_repository(url) == (server, repository)


def context(*, payload: dict[str, object] | None = None, **facts: object) -> dict[str, object]:
    run = RunFacts(
        RunId(7),
        number=3,
        attempt=1,
        flow_name="Train it!",
        flow_file="./train.yml",
        event=str(facts.pop("event", "push")),
        payload=payload or {},
        actor="ada",
        **facts,  # type: ignore[arg-type]
    )
    return dict(start_contexts(run)["github"])


def test_numbers_are_text_and_refs_are_split() -> None:
    made = context(url="https://github.com/a/b", ref="refs/tags/v1", commit="c0")
    assert (made["run_id"], made["run_number"], made["run_attempt"]) == ("7", "3", "1")
    assert (made["ref_name"], made["ref_type"], made["sha"]) == ("v1", "tag", "c0")
    assert made["workflow_ref"] == "a/b/train.yml@refs/tags/v1"


def test_a_run_without_a_repository_gets_a_name_that_is_safe_as_a_folder_and_githubs_server() -> None:
    made = context()
    assert (made["repository"], made["server_url"]) == ("local/Train-it", "https://github.com")
    assert context(url="/srv/git/acme/models")["api_url"] == "https://api.github.com"


def test_a_pull_request_brings_its_branches() -> None:
    made = context(payload={"pull_request": {"head": {"ref": "topic"}, "base": {"ref": "main"}}})
    assert (made["head_ref"], made["base_ref"]) == ("topic", "main")
    assert context(payload={"pull_request": "odd"})["head_ref"] == ""


def test_inputs_are_text_in_the_event_of_a_run_that_was_started_by_hand_and_in_no_other() -> None:
    by_hand = context(event="workflow_dispatch", inputs={"epochs": 5, "dry": True})
    assert by_hand["event"]["inputs"] == {"epochs": "5", "dry": "true"}  # type: ignore[index]
    assert "inputs" not in context(inputs={"epochs": 5})["event"]  # type: ignore[operator]
