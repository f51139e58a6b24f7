"""Who may do what: every route, every token, every identity."""

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from server.routes import HttpRoute, http_routes
from server.vocabulary import INVENTORY, ServerProcess, TestAgent, closing, frames, journal, wait_for
from support.lab import PATIENCE_SECONDS
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from agent.seal.identity import create_identity
from agent.server.people.auth.access import Access
from agent.spec.resources import to_json
from agent.wire import messages as m

Agents = Callable[..., TestAgent]
Servers = Callable[..., ServerProcess]

PUBLIC = {
    "/",
    "/healthz",
    "/readyz",
    "/install.sh",
    "/install/agent.whl",
    "/install/agent.whl.sha256",
    "/install/requirements.txt",
    "/install/wheels/",
    "/install/wheels/{wheel}",
    "/api/v1/openapi.json",
    "/problems/{problem}",
    "/login",
    "/static/{file}",
    "/schema/flow.json",
    "/.well-known/openid-configuration",
    "/.well-known/jwks",
}


def test_every_route_names_its_access_and_only_these_are_public() -> None:
    assert {route.path for route in http_routes() if route.access is Access.PUBLIC} == PUBLIC
    signed = {route.path for route in http_routes() if route.access is Access.SIGNED}
    assert signed == {"/blobs/{shelf}/{number:int}/content"}
    assert {route.path for route in http_routes() if route.access is Access.HOOK} == {
        "/hooks/github/{hook}",
        "/hooks/gitea/{hook}",
        "/hooks/gitlab/{hook}",
        "/hooks/{hook}",
    }
    assert {route.path for route in http_routes() if route.access is Access.REGISTRATION} == {
        "/api/v1/agents/register"
    }


NO_TOKENS = (
    None,
    "Bearer",
    "Bearer fa_api_" + "0" * 43,
    "Basic YWRtaW46YWRtaW4=",
    "Bearer a.b.c",
    "Bearer \u00e9",
)


@pytest.mark.parametrize("route", http_routes(), ids=str)
def test_no_route_answers_a_stranger(server: ServerProcess, route: HttpRoute) -> None:
    for header in NO_TOKENS:
        headers = {} if header is None else {"Authorization": header.encode()}
        answer = server.http.request(route.verb, route.filled(), headers=headers)
        assert answer.status_code in refusals(route), header
        if answer.status_code == 401 and route.path.startswith("/api/v3"):
            assert route.verb == "HEAD" or answer.json().keys() == {"message", "documentation_url", "status"}
        elif answer.status_code == 401 and route.access is Access.GIT:
            assert answer.headers["WWW-Authenticate"].startswith("Basic")
        elif answer.status_code == 401 and route.verb != "HEAD" and not route.page:
            known = ({"detail"}, {"code", "msg"})  # ours, Twirp
            assert any(answer.json().keys() >= keys for keys in known)


def refusals(route: HttpRoute) -> tuple[int, ...]:
    """What a stranger may be told."""
    if route.access is Access.PUBLIC:
        return (404,) if route.path == "/install/wheels/{wheel}" else (200,)  # the wheelhouse is empty
    if route.access in (Access.REGISTRATION, Access.SIGN_IN):
        # No body, so no token and no password in it; no sign-in was begun, and there is no provider.
        return (400, 403, 404, 415)
    if route.access in (Access.SIGNED, Access.HOOK):
        return (403,)
    if route.access is Access.DOOR:
        return (404,)  # whether there is a door is nobody's business
    return (303,) if route.page and route.verb in ("GET", "HEAD") else (401,)


def test_a_registration_token_opens_no_api(server: ServerProcess) -> None:
    headers = {"Authorization": f"Bearer {server.registration_token}"}
    assert server.http.get("/api/v1/runs", headers=headers).status_code == 401


def register(server: ServerProcess, token: str, name: str, **more: Any) -> httpx.Response:
    body = {
        "token": token,
        "name": name,
        "identity": create_identity().public.to_json(),
        "inventory": to_json(INVENTORY),
        **more,
    }
    return httpx.post(f"{server.url}/api/v1/agents/register", json=body)


def test_of_many_who_redeem_one_token_at_once_exactly_one_wins(server: ServerProcess) -> None:
    token = server.registration(uses=1)
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(register(server, token, f"racer-{n}")))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [201, *[403] * 7]
    assert {answer.json()["detail"] for answer in answers if answer.status_code == 403} == {
        "the registration token is used up"
    }


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"expires_seconds": 0.0}, "has expired"), ({"uses": 0}, "is used up")],
)
def test_a_token_that_is_over_registers_nobody(server: ServerProcess, settings: Any, reason: str) -> None:
    answer = register(server, server.registration(**settings), "late")
    assert answer.status_code == 403
    assert reason in answer.json()["detail"]
    assert "agent server token create" in answer.json()["hint"]


def test_a_revoked_token_registers_nobody(server: ServerProcess) -> None:
    made = server.api.post("/registration-tokens", json={}).json()
    assert server.api.delete(f"/registration-tokens/{made['id']}").status_code == 204
    assert server.api.delete(f"/registration-tokens/{made['id']}").status_code == 404
    assert "was revoked" in register(server, made["token"], "late").json()["detail"]
    shown = server.api.get("/registration-tokens").text
    assert made["id"] in shown
    assert made["token"] not in shown


def test_a_name_is_taken_once_unless_it_is_replaced(server: ServerProcess) -> None:
    token = server.registration(uses=4)
    first = register(server, token, "twin")
    assert register(server, token, "twin").status_code == 422
    second = register(server, token, "twin", replace=True)
    assert second.status_code == 201
    assert server.api.get(f"/agents/{first.json()['agent']}").status_code == 404


def test_a_refused_registration_spends_nothing(server: ServerProcess) -> None:
    token = server.registration(uses=2)
    register(server, token, "only")
    assert register(server, token, "only").status_code == 422
    assert register(server, token, "other").status_code == 201


def test_failures_of_one_address_are_limited_and_a_good_token_still_works(make_server: Servers) -> None:
    server = make_server(limits={"failures_per_minute": 5})
    answers = [server.http.get("/api/v1/runs", headers={"Authorization": "Bearer x"}) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 3
    assert answers[-1].headers["retry-after"] == "60"
    assert register(server, "fa_reg_nonsense", "box").status_code == 429
    assert server.api.get("/runs").status_code == 200


# Agents' connections


def test_a_signature_that_was_seen_on_another_connection_is_refused(
    server: ServerProcess, make_agent: Agents
) -> None:
    agent = make_agent(server, name="replayed", token=server.registration())
    agent.connect()
    old = agent.identity.sign
    seen = agent.sign(agent.challenge)
    agent.sign = lambda _challenge: seen  # type: ignore[method-assign]
    with pytest.raises(ConnectionClosed):
        agent.connect()
    assert agent.heard[-1] == m.Rejected("bad_signature", "the signature is not this agent's")
    assert old is not None


def test_nonces_are_fresh(server: ServerProcess, make_agent: Agents) -> None:
    agent = make_agent(server, name="fresh", token=server.registration())
    nonces = set()
    for _ in range(5):
        agent.connect()
        nonces.add(agent.challenge.nonce)
    assert len(nonces) == 5


def test_another_agents_key_does_not_open_a_connection(server: ServerProcess, make_agent: Agents) -> None:
    one = make_agent(server, name="one", token=server.registration())
    two = make_agent(server, name="two", token=server.registration())
    two.id = one.id
    with pytest.raises(ConnectionClosed):
        two.connect()
    assert two.heard[-1].code == "bad_signature"


def test_a_copy_on_another_machine_does_not_take_the_place_of_an_agent_at_work(
    server: ServerProcess, make_agent: Agents
) -> None:
    agent = make_agent(server, name="original", token=server.registration())
    clone = make_agent(server, name="copy", token=server.registration())
    clone.id, clone.identity = agent.id, agent.identity

    def is_at_work() -> bool:
        return server.sql("SELECT ready FROM agents WHERE id = ?", agent.id) != [(None,)]

    agent.connect(boot="a")
    wait_for(is_at_work)
    with pytest.raises(ConnectionClosed):
        clone.connect(boot="b")
    assert clone.heard[-1].code == "running_elsewhere"
    agent.protocol.heartbeat((), {})
    agent.flush()
    agent.connect(
        boot="a"
    )  # it may connect anew itself, and once it has gone its machine may have been started again
    wait_for(is_at_work)
    agent.disconnect()
    wait_for(lambda: not is_at_work())
    agent.connect(boot="b")


def test_a_copy_that_was_left_behind_is_no_agent_while_its_original_is_off(
    server: ServerProcess, make_agent: Agents
) -> None:
    agent = make_agent(server, name="kept", token=server.registration())

    def noted() -> int:
        return int(server.sql("SELECT generation FROM agents WHERE id = ?", agent.id)[0][0])

    agent.connect(generation=1)
    copied = agent.generation
    wait_for(lambda: noted() == copied)
    agent.connect(generation=copied, ready=False)  # what is not kept on its disk does not count
    agent.connect(generation=copied)
    assert agent.generation == copied + 1
    wait_for(lambda: noted() == copied + 1)
    agent.disconnect()
    with pytest.raises(ConnectionClosed):
        agent.connect(generation=copied)
    assert agent.heard[-1].code == "older_copy"
    agent.connect(generation=copied + 1)
    agent.connect()  # an older agent says nothing, and so does one whose owner says that it was moved
    assert agent.generation > copied + 1


def test_a_second_connection_replaces_the_first(server: ServerProcess, make_agent: Agents) -> None:
    agent = make_agent(server, name="cloned", token=server.registration())
    clone = make_agent(server, name="clone", token=server.registration())
    clone.id, clone.identity = agent.id, agent.identity
    agent.connect()
    clone.connect()
    assert agent.hear_rejection().code == "replaced"
    clone.protocol.heartbeat((), {})
    clone.flush()
    assert server.api.get(f"/agents/{agent.id}").json()["status"] == "online"


def test_a_page_of_another_site_opens_no_agents_socket(server: ServerProcess) -> None:
    url = server.url.replace("http", "ws") + "/api/v1/agent"
    with pytest.raises(InvalidStatus) as refused, connect(url, origin="https://evil.example", proxy=None):
        pass
    assert refused.value.response.status_code == 403


def test_an_oversize_or_nonsense_frame_ends_the_connection_with_its_name(server: ServerProcess) -> None:
    url = server.url.replace("http", "ws") + "/api/v1/agent"
    for frame in ('{"kind":"hallo"}', "[" * 2000, "\x00", b"\x00" * 40):
        with connect(url, proxy=None) as socket:
            socket.send(frame)
            assert json.loads(socket.recv(timeout=PATIENCE_SECONDS))["code"] == "bad_message"
    with connect(url, proxy=None, max_size=None) as socket, pytest.raises(ConnectionClosed):
        exchange_oversize(socket)
    assert server.http.get("/healthz").status_code == 200


def exchange_oversize(socket: ClientConnection) -> None:
    """Ends with 1009, or with a reset when the server hangs up before it has read all of it."""
    socket.send("x" * (5 << 20))
    socket.recv(timeout=PATIENCE_SECONDS)


def test_an_agent_that_names_another_agents_job_gets_nowhere(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    victim = make_agent(server, name="victim").connect()
    run = server.submit()
    assign = victim.take()
    thief = make_agent(server, name="thief").connect(
        held=(m.HeldJob(assign.job, assign.lease, 100, is_running=True),)
    )
    assert thief.hear(m.Revoke).job == assign.job
    thief.protocol._assigned.add((assign.job, assign.lease))
    thief.protocol.accept(assign.job, assign.lease)
    thief.protocol.ship(assign.job, assign.lease, 0, journal(assign))
    thief.flush()
    assert thief.hear(m.Revoke).job == assign.job
    assert server.job(run)["agent"] == "victim"
    victim.finish(assign, journal(assign))
    assert server.run(run)["conclusion"] == "success"


def test_an_old_lease_number_never_completes_the_job(make_server: Servers, make_agent: Agents) -> None:
    server = make_server(lease_terms={"offer_seconds": 0.3, "grace_seconds": 60.0})
    run = server.submit()
    slow = make_agent(server, name="slow").connect()
    old = slow.hear(m.Assign)
    slow.hear(m.Revoke, lease=old.lease)
    slow.protocol.drain(is_draining=True)
    slow.flush()
    new = make_agent(server, name="new").connect().take()
    assert new.lease > old.lease
    slow.protocol._assigned.add((old.job, old.lease))
    slow.protocol.accept(old.job, old.lease)
    slow.protocol.ship(old.job, old.lease, 0, journal(old))
    slow.flush()
    assert slow.hear(m.Revoke, lease=old.lease)
    assert server.job(run)["lease"] == new.lease
    assert server.job(run)["status"] in ("assigned", "running")


def test_unproven_connections_are_bounded_and_do_not_shut_out_agents_for_long(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server(limits={"connections_before_proof": 2, "handshake_seconds": 0.5})
    agent = make_agent(server)
    url = server.url.replace("http", "ws") + "/api/v1/agent"
    with connect(url, proxy=None) as one, connect(url, proxy=None):
        with pytest.raises(InvalidStatus), connect(url, proxy=None):
            pass
        with pytest.raises(ConnectionClosed):
            one.recv(timeout=PATIENCE_SECONDS)  # hung up on after the handshake's time
        agent.connect()


# Jobs' own tokens


@pytest.fixture(scope="module")
def running(server: ServerProcess) -> Any:
    """An agent with a job that runs, and the job's runtime token."""
    agent = TestAgent(server, name="worker", token=server.registration()).connect()
    server.submit()
    assign = agent.take()
    yield agent, assign, agent.open(assign, "ACTIONS_RUNTIME_TOKEN")
    agent.finish(assign, journal(assign))
    agent.disconnect()


def twirp(server: ServerProcess, method: str, token: str, **fields: Any) -> httpx.Response:
    path = f"/twirp/github.actions.results.api.v1.ArtifactService/{method}"
    return server.http.post(path, json=fields, headers={"Authorization": f"Bearer {token}"})


def test_a_jobs_token_is_what_githubs_clients_want(running: Any) -> None:
    _, assign, token = running
    claims = json.loads(_decode(token.split(".")[1]))
    assert claims["scp"] == f"Actions.Results:{assign.spec.run}:{assign.job}"
    assert json.loads(claims["ac"]) == [{"Scope": "user/admin", "Permission": 3}]
    assert claims["exp"] - claims["iat"] == 60 * 365 + 3600
    assert sorted(assign.sealed) == ["ACTIONS_RUNTIME_TOKEN"], "the agent makes it the GITHUB_TOKEN too"


def test_a_jobs_token_opens_no_api(server: ServerProcess, running: Any) -> None:
    headers = {"Authorization": f"Bearer {running[2]}"}
    assert server.http.get("/api/v1/runs", headers=headers).status_code == 401
    assert server.http.get("/api/v1/secrets", headers=headers).status_code == 401


def test_forged_tokens_of_jobs_are_refused(server: ServerProcess, running: Any) -> None:
    token = running[2]
    head, body, signature = token.split(".")
    claims = json.loads(_decode(body))
    none = _encode(json.dumps({"alg": "none", "typ": "JWT"}))
    forged = [
        f"{none}.{body}.",
        f"{none}.{body}.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{_encode(json.dumps(claims | {'run': 99}))}.{signature}",
        jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(b"k" * 32)),
        jwt.encode({"alg": "HS256", "kid": "../signing.key"}, claims, OctKey.import_key(b"0" * 32)),
    ]
    for bad in forged:
        answer = twirp(server, "ListArtifacts", bad)
        assert answer.status_code == 401, bad
        assert answer.json()["code"] == "unauthenticated"
    assert twirp(server, "ListArtifacts", token).status_code == 200


def test_a_jobs_token_is_worth_nothing_after_the_jobs_end(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    server.submit()
    agent = make_agent(server).connect()
    assign = agent.take()
    token = agent.open(assign, "ACTIONS_RUNTIME_TOKEN")
    assert twirp(server, "CreateArtifact", token, name="a").status_code == 200
    agent.finish(assign, journal(assign, closes=False) + frames(closing()))
    answer = twirp(server, "CreateArtifact", token, name="b")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_a_jobs_token_is_worth_nothing_under_the_next_lease(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    server.submit()
    first = make_agent(server, name="first").connect()
    old = first.hear(m.Assign)
    token = first.open(old, "ACTIONS_RUNTIME_TOKEN")
    first.disconnect()
    first.connect(ready=False).protocol.ready(m.Ready(INVENTORY, (), 1, (), is_draining=True))
    first.flush()
    second = make_agent(server, name="second").connect()
    new = second.take()
    assert new.lease > old.lease
    assert twirp(server, "ListArtifacts", token).status_code == 401
    assert twirp(server, "ListArtifacts", second.open(new, "ACTIONS_RUNTIME_TOKEN")).status_code == 200


def test_secrets_are_sealed_to_one_agent_job_and_name(make_server: Servers, make_agent: Agents) -> None:
    from agent.errors import RefusedError

    server = make_server()
    server.set_secret("DATA_KEY", "hunter2")
    server.submit(
        "on: push\njobs:\n  train:\n    runs-on: linux\n    steps:\n      - run: echo ${{ secrets.DATA_KEY }}\n"
    )
    agent = make_agent(server).connect()
    assign = agent.take()
    assert agent.open(assign, "DATA_KEY") == "hunter2"
    swapped = m.Assign(assign.job, assign.lease, assign.spec, {"GITHUB_TOKEN": assign.sealed["DATA_KEY"]})
    with pytest.raises(RefusedError):
        agent.open(swapped, "GITHUB_TOKEN")
    other = make_agent(server, name="other")
    with pytest.raises(RefusedError):
        other.open(assign, "DATA_KEY")


def _decode(part: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _encode(text: str) -> str:
    import base64

    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
