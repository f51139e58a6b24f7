"""OpenID Connect: a job proves to others what it is. Checked as they do it: by PyJWT, with the keys as our issuer publishes them."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from server.triggers.lab import FLOW, Lab
from server.vocabulary import ServerProcess, TestAgent, journal

from agent.wire import messages as m

Agents = Callable[..., TestAgent]
TOKEN = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
PROVING = """\
name: Deploy
on: [push, pull_request, pull_request_target, workflow_dispatch]
permissions:
  id-token: write
jobs:
  train:
    runs-on: linux
    steps:
      - run: echo
"""
AT = "/_apis/id-token?api-version=2.0"


class Prover:
    """A job that was handed to an agent, and asks for its tokens."""

    def __init__(self, server: ServerProcess, agent: TestAgent) -> None:
        self.server, self.agent = server, agent
        self.assign: m.Assign = agent.take()
        self.token = agent.open(self.assign, TOKEN)

    def ask(self, audience: str | None = "sts.example.com", token: str = "") -> httpx.Response:
        query = "" if audience is None else f"&audience={audience}"
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return self.server.http.get(f"{AT}{query}", headers=headers)

    def claims(self, audience: str | None = "sts.example.com", expected: str = "") -> dict[str, Any]:
        answer = self.ask(audience)
        assert answer.status_code == 200, answer.text
        return verify(self.server, answer.json()["value"], expected or audience or "")

    def end(self) -> None:
        self.agent.finish(self.assign, journal(self.assign))


def verify(server: ServerProcess, token: str, audience: str) -> dict[str, Any]:
    """What the token says, for who knows nothing but the issuer's address."""
    about = httpx.get(f"{server.url}/.well-known/openid-configuration").raise_for_status().json()
    key = jwt.PyJWKClient(about["jwks_uri"]).get_signing_key_from_jwt(token)
    rules = {"require": ["exp", "iat", "nbf", "iss", "aud", "sub", "jti"]}
    algorithms = about["id_token_signing_alg_values_supported"]
    return jwt.decode(token, key, algorithms, rules, audience=audience, issuer=about["issuer"])


@pytest.fixture
def agent(lab: Lab, make_agent: Agents) -> TestAgent:
    return make_agent(lab.server).connect()


def test_a_push_is_vouched_for_with_githubs_claims(lab: Lab, agent: TestAgent) -> None:
    lab.push({FLOW: PROVING})
    job = Prover(lab.server, agent)
    said = job.claims()
    owner, ref, sha = lab.host.url, "refs/heads/main", lab.repository.head
    assert {name: said[name] for name in said if name not in ("jti", "iat", "nbf", "exp")} == {
        "iss": lab.server.url,
        "aud": "sts.example.com",
        "sub": "repo:acme/lab:ref:refs/heads/main",
        "repository": "acme/lab",
        "repository_id": lab.id,
        "repository_owner": "acme",
        "repository_visibility": "private",
        "ref": ref,
        "ref_type": "branch",
        "ref_protected": "false",
        "sha": sha,
        "base_ref": "",
        "head_ref": "",
        "workflow": "Deploy",
        "workflow_ref": f"acme/lab/{FLOW}@{ref}",
        "workflow_sha": sha,
        "job_workflow_ref": f"acme/lab/{FLOW}@{ref}",
        "job_workflow_sha": sha,
        "job_id": job.assign.job,
        "event_name": "push",
        "actor": "ada",
        "run_id": str(job.assign.spec.run),
        "run_number": "1",
        "run_attempt": "1",
        "runner_environment": "self-hosted",
        "project": "default",
        "project_id": "1",
    }
    assert said["exp"] - said["iat"] == 300
    assert said["iat"] - said["nbf"] == 600
    assert job.claims(None, f"{owner}/acme")["aud"] == f"{owner}/acme"
    assert said["jti"] != job.claims()["jti"]


def test_an_environment_a_tag_and_a_request_to_merge_have_subjects_of_their_own(
    lab: Lab, agent: TestAgent
) -> None:
    lab.push({FLOW: PROVING.replace("    runs-on", "    environment: prod:eu\n    runs-on")})
    job = Prover(lab.server, agent)
    said = job.claims()
    assert (said["sub"], said["environment"]) == ("repo:acme/lab:environment:prod%3Aeu", "prod:eu")
    job.end()
    lab.repository.commit({FLOW: PROVING})
    lab.repository.git("tag", "v1")
    answer = lab.server.api.post(f"/repositories/{lab.id}/dispatch", json={"flow": FLOW, "ref": "v1"})
    assert answer.status_code == 201, answer.text
    job = Prover(lab.server, agent)
    said = job.claims()
    assert (said["sub"], said["ref_type"]) == ("repo:acme/lab:ref:refs/tags/v1", "tag")
    job.end()
    lab.request(README="b")
    seen = set()
    for _ in range(2):
        job = Prover(lab.server, agent)
        said = job.claims()
        assert said["sub"] == "repo:acme/lab:pull_request"
        assert (said["base_ref"], said["head_ref"]) in (("main", "topic"), ("", "topic"))
        seen.add(said["event_name"])
        job.end()
    assert seen == {"pull_request", "pull_request_target"}


def test_a_job_of_a_called_flow_names_both_flows(lab: Lab, agent: TestAgent) -> None:
    called = PROVING.replace(
        "on: [push, pull_request, pull_request_target, workflow_dispatch]", "on: workflow_call"
    )
    calling = """\
on: push
permissions: {id-token: write}
jobs:
  deploy:
    uses: ./.github/workflows/called.yml
"""
    lab.push({FLOW: calling, ".github/workflows/called.yml": called})
    said = Prover(lab.server, agent).claims()
    at = "@refs/heads/main"
    assert said["workflow_ref"] == f"acme/lab/{FLOW}{at}"
    assert said["job_workflow_ref"] == f"acme/lab/.github/workflows/called.yml{at}"


@pytest.mark.parametrize(
    "said", ["", "permissions: {id-token: none}\n", "permissions: read-all\n", "permissions: {}\n"]
)
def test_without_the_permission_a_job_has_nothing_to_ask_with(lab: Lab, agent: TestAgent, said: str) -> None:
    lab.push({FLOW: PROVING.replace("permissions:\n  id-token: write\n", said)})
    assign = agent.take()
    assert sorted(assign.sealed) == ["ACTIONS_RUNTIME_TOKEN"]
    runtime = agent.open(assign, "ACTIONS_RUNTIME_TOKEN")
    answer = lab.server.http.get(AT, headers={"Authorization": f"Bearer {runtime}"})
    assert answer.status_code == 401, answer.text


def test_a_strangers_request_to_merge_is_not_vouched_for(lab: Lab, agent: TestAgent) -> None:
    lab.repository.commit({FLOW: PROVING})
    lab.server.api.patch(f"/repositories/{lab.id}", json={"forks": "run"})
    lab.request(fork="mallory/lab", README="b")
    assert TOKEN not in agent.take().sealed


def test_the_token_that_asks_opens_nothing_else_and_ends_with_the_job(lab: Lab, agent: TestAgent) -> None:
    lab.push({FLOW: PROVING})
    job = Prover(lab.server, agent)
    service = "/twirp/github.actions.results.api.v1.ArtifactService/ListArtifacts"
    answer = lab.server.http.post(service, json={}, headers={"Authorization": f"Bearer {job.token}"})
    assert answer.status_code == 401
    head, claims, signature = job.token.split(".")
    forged = (
        f"{head}.{claims}.{'A' * len(signature)}",
        jwt.encode(jwt.decode(job.token, options={"verify_signature": False}), None, "none"),
        lab.server.token,
    )
    for token in forged:
        assert job.ask(token=token).status_code == 401
    job.end()
    answer = job.ask()
    assert (answer.status_code, "has ended" in answer.text) == (401, True)


def test_an_audience_is_one_and_short(lab: Lab, agent: TestAgent) -> None:
    lab.push({FLOW: PROVING})
    job = Prover(lab.server, agent)
    assert job.ask("a&audience=b").status_code == 400
    assert job.ask("a" * 1001).status_code == 422
    assert job.ask("a%0Ab").status_code == 422
    assert job.claims("", f"{lab.host.url}/acme")["jti"]


def test_what_the_caller_of_the_api_says_of_its_run_is_vouched_for_by_nobody(
    lab: Lab, agent: TestAgent
) -> None:
    url, head = f"{lab.host.url}/acme/lab", lab.repository.head
    claimed = {"kind": "git", "url": url, "ref": "refs/heads/main", "commit": head}
    for more, subject in (("", "user:admin"), ("    environment: prod\n", "environment:prod")):
        text = PROVING.replace("    runs-on", f"{more}    runs-on")
        lab.server.submit(text, source=claimed, event="push", event_payload={"ref": "refs/heads/main"})
        job = Prover(lab.server, agent)
        said = job.claims()
        assert said["sub"] == f"project:default:{subject}"
        assert (
            not {"repository", "ref", "sha", "workflow_ref", "job_workflow_ref", "repository_owner"}
            & said.keys()
        )
        job.end()


def test_a_repository_of_the_same_name_on_another_host_or_in_another_project_does_not_pass_for_the_first(
    lab: Lab, agent: TestAgent
) -> None:
    lab.server.api.post("/projects", json={"name": "other"})
    lab.repository.commit({FLOW: PROVING})
    body = {"url": f"{lab.host.url}/acme/lab", "provider": "git", "name": "twin"}
    twin = lab.server.api.post("/repositories?project=other", json=body)
    assert twin.status_code == 201, twin.text
    for repository, subject in (
        (lab.id, "repo:acme/lab:ref:refs/heads/main"),
        (twin.json()["id"], "project:other:repo:acme/lab:ref:refs/heads/main"),
    ):
        answer = lab.server.api.post(
            f"/repositories/{repository}/dispatch", json={"flow": FLOW, "ref": "main"}
        )
        assert answer.status_code == 201, answer.text
        job = Prover(lab.server, agent)
        assert job.claims()["sub"] == subject
        job.end()


def kids(server: ServerProcess) -> list[str]:
    return [key["kid"] for key in server.http.get("/.well-known/jwks").json()["keys"]]


def test_a_new_key_is_published_before_it_signs_and_the_old_one_until_nothing_of_it_is_left(
    lab: Lab, agent: TestAgent
) -> None:
    server = lab.server
    lab.push({FLOW: PROVING})
    job = Prover(server, agent)
    old = job.ask().json()["value"]
    (first,) = kids(server)
    assert jwt.get_unverified_header(old)["kid"] == first
    rotated = server.api.post("/id-token-keys", json={})
    assert rotated.status_code == 200, rotated.text
    both = kids(server)
    assert (len(both), both[0]) == (2, first)
    assert jwt.get_unverified_header(job.ask().json()["value"])["kid"] == first
    again = server.api.post("/id-token-keys", json={})
    assert (again.status_code, "published already" in again.text) == (409, True)
    # An hour later.
    server.sql("UPDATE id_token_keys SET signs_from = signs_from - 3601")
    assert jwt.get_unverified_header(job.ask().json()["value"])["kid"] == both[1]
    assert verify(server, old, "sts.example.com")["sub"] == "repo:acme/lab:ref:refs/heads/main"
    # One more.
    server.sql("UPDATE id_token_keys SET published_until = published_until - 7201")
    assert kids(server) == both[1:]
    with pytest.raises(jwt.PyJWKClientError):
        verify(server, old, "sts.example.com")


def test_a_leaked_key_is_replaced_at_once(lab: Lab, agent: TestAgent) -> None:
    server = lab.server
    lab.push({FLOW: PROVING})
    job = Prover(server, agent)
    old = job.ask().json()["value"]
    server.api.post("/id-token-keys", json={})
    assert server.api.post("/id-token-keys", json={"at_once": True}).status_code == 200
    (new,) = kids(server)
    assert jwt.get_unverified_header(job.ask().json()["value"])["kid"] == new
    with pytest.raises(jwt.PyJWKClientError):
        verify(server, old, "sts.example.com")


def test_what_is_published_holds_nothing_private_and_the_private_half_is_not_stored_in_clear(
    lab: Lab, agent: TestAgent
) -> None:
    (key,) = lab.server.http.get("/.well-known/jwks").json()["keys"]
    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
    ((sealed,),) = lab.server.sql("SELECT sealed FROM id_token_keys")
    assert b'"d"' not in bytes(sealed)
    assert json.dumps(key["n"]).encode() not in bytes(sealed)
    lab.server.restart_after_kill()
    assert kids(lab.server) == [key["kid"]]
