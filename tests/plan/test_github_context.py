"""The `github` context from source and event."""

import pytest

from agent.ids import RunId
from agent.plan.github_context import make_github_context, split_repository
from agent.spec.job import Source, SourceKind


@pytest.mark.parametrize(
    ("url", "server", "repository"),
    [
        ("https://github.com/acme/models.git", "https://github.com", "acme/models"),
        ("https://user:word@git.example.org/team/acme/models", "https://git.example.org", "acme/models"),
        ("git@git.example.org:acme/models.git", "https://git.example.org", "acme/models"),
        ("ssh://git@git.example.org:2222/acme/models.git", "https://git.example.org", "acme/models"),
        ("file:///srv/git/acme/models.git", "https://github.com", "acme/models"),
        ("/srv/git/acme/models", "https://github.com", "acme/models"),
        ("", "https://github.com", ""),
    ],
)
def test_repository_and_server_come_from_the_url(url: str, server: str, repository: str) -> None:
    assert split_repository(url) == (server, repository)


def context(source: Source, **event: object) -> dict[str, object]:
    return make_github_context(
        run=RunId(7),
        number=3,
        attempt=1,
        flow_name="Train it!",
        flow_file="./train.yml",
        event_name="push",
        event=event,
        source=source,
        actor="ada",
    )


def test_numbers_are_text_and_refs_are_split() -> None:
    made = context(Source(SourceKind.GIT, url="https://github.com/a/b", ref="refs/tags/v1", commit="c0"))
    assert (made["run_id"], made["run_number"], made["run_attempt"]) == ("7", "3", "1")
    assert (made["ref_name"], made["ref_type"], made["sha"]) == ("v1", "tag", "c0")
    assert made["workflow_ref"] == "a/b/train.yml@refs/tags/v1"


def test_a_run_without_a_repository_gets_a_name_that_is_safe_as_a_folder() -> None:
    assert context(Source())["repository"] == "local/Train-it"


def test_a_pull_request_brings_its_branches() -> None:
    made = context(Source(), pull_request={"head": {"ref": "topic"}, "base": {"ref": "main"}})
    assert (made["head_ref"], made["base_ref"]) == ("topic", "main")
    assert context(Source(), pull_request="odd")["head_ref"] == ""
