"""The subject of a job's token: no name of a branch, environment, repository, project or person makes it another's."""

from hypothesis import given
from hypothesis import strategies as st

from agent.server.people.id_tokens.subject import name_repository, name_subject, name_unbound_subject

NAMES = st.text(st.sampled_from("ab/:%@ \n\u202eé3AF"), min_size=1, max_size=12)


def subject(repository: str = "acme/lab", environment: str = "", event: str = "push", ref: str = "") -> str:
    of = name_repository(repository)
    return name_subject(of, environment=environment, event=event, ref=ref or "refs/heads/main")


def test_it_is_githubs_for_branches_tags_environments_and_requests_to_merge() -> None:
    assert subject() == "repo:acme/lab:ref:refs/heads/main"
    assert subject(ref="refs/tags/v1.0") == "repo:acme/lab:ref:refs/tags/v1.0"
    assert subject(environment="prod") == "repo:acme/lab:environment:prod"
    assert subject(event="pull_request", ref="refs/pull/5/merge") == "repo:acme/lab:pull_request"
    assert (
        subject(event="pull_request", environment="prod", ref="refs/pull/5/merge")
        == "repo:acme/lab:environment:prod"
    )


def test_what_a_request_to_merge_starts_is_never_taken_for_its_base() -> None:
    assert subject(event="pull_request_target", ref="refs/heads/main") == "repo:acme/lab:pull_request"
    assert subject(event="workflow_dispatch", ref="refs/pull/5/head") == "repo:acme/lab:pull_request"


def test_a_colon_in_a_name_is_escaped_as_github_does_it() -> None:
    assert subject(environment="a:ref:b") == "repo:acme/lab:environment:a%3Aref%3Ab"
    assert subject(environment="a%3Ab") == "repo:acme/lab:environment:a%253Ab"
    assert subject(environment="x\n\u202e") == "repo:acme/lab:environment:x%0A%E2%80%AE"
    assert subject(environment="Größe 1") == "repo:acme/lab:environment:Größe 1"


@given(st.tuples(NAMES, NAMES), st.tuples(NAMES, NAMES))
def test_two_names_never_give_one_subject(one: tuple[str, str], other: tuple[str, str]) -> None:
    def make(names: tuple[str, str]) -> set[str]:
        repository, name = names
        return {
            subject(repository, environment=name),
            subject(repository, ref=name) if not name.startswith("refs/pull/") else "",
            name_unbound_subject(repository, environment=name, flow="", actor="x"),
            name_unbound_subject(repository, environment="", flow=name, actor="x"),
            name_unbound_subject(repository, environment="", flow="", actor=name),
            name_subject(name_repository(repository, name), environment="e", event="push", ref="r"),
        }

    assert len(make(one)) == 6
    assert one == other or not make(one) & make(other)
