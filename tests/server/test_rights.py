"""Who may do what in which project: every route of the table, and the pure rules behind it."""

import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from server.routes import HttpRoute, http_routes
from server.vocabulary import ServerProcess, TestAgent, journal

from agent.errors import NotFoundError, RefusedError, UsageError
from agent.server.people.auth.access import SAFE_METHODS, Access, Caller, check_organisation, check_role
from agent.server.people.auth.callers import make_caller
from agent.server.people.auth.place import OWNERS
from agent.server.people.auth.roles import Role, read_role
from agent.server.store.tokens import TokenRow
from agent.server.store.users import UserRow

# Path parameters that name something *within* the request's project: a thing of another project can't be named by them.
WITHIN = {"app", "name", "owner", "user", "tag", "artifact_name", "version", "draft"}


def test_every_parameter_of_a_route_with_a_role_says_which_project_it_is_about() -> None:
    for route in http_routes():
        if route.access.role is not None:
            unknown = {name for name in route.parameters if name not in OWNERS and name not in WITHIN}
            assert unknown <= {"digest"}, f"{route.path}: add {unknown} to OWNERS in server/auth/place.py"


def token(role: str | None = None, project: int | None = None) -> TokenRow:
    return TokenRow("token_1", "api", "", "", "[]", None, 0.0, None, None, 7, role, project)


def user(*, is_admin: bool = False) -> UserRow:
    return UserRow(7, "ada", "person", is_admin, None, None, 0.0, None)


def test_a_token_has_the_roles_of_its_user() -> None:
    caller = make_caller(token(), user(), {1: "runner", 2: "admin"})
    assert [caller.role_in(project) for project in (1, 2, 3)] == [Role.RUNNER, Role.ADMIN, None]
    assert not caller.is_organisation_admin


def test_an_admin_of_the_organisation_is_admin_everywhere() -> None:
    caller = make_caller(token(), user(is_admin=True), {})
    assert caller.role_in(99) is Role.ADMIN
    check_organisation(caller)


@pytest.mark.parametrize("cap", list(Role))
def test_a_limited_token_never_has_more_than_its_limit_nor_than_its_user(cap: Role) -> None:
    for own in Role:
        caller = make_caller(token(cap.label), user(), {1: own.label})
        assert caller.role_in(1) == min(own, cap)
    caller = make_caller(token(cap.label), user(is_admin=True), {})
    assert caller.role_in(1) is cap
    assert caller.is_organisation_admin == (cap is Role.ADMIN)


def test_a_token_for_one_project_opens_no_other_and_not_the_organisation() -> None:
    member = make_caller(token(project=2), user(), {1: "admin", 2: "viewer"})
    assert [member.role_in(project) for project in (1, 2)] == [None, Role.VIEWER]
    stranger = make_caller(token(project=3), user(), {1: "admin"})
    assert stranger.role_in(3) is None
    admin = make_caller(token(project=2), user(is_admin=True), {})
    assert [admin.role_in(project) for project in (1, 2)] == [None, Role.ADMIN]
    with pytest.raises(RefusedError):
        check_organisation(admin)


def test_who_has_no_role_hears_nothing_and_who_has_too_small_a_one_hears_which_is_needed() -> None:
    caller = Caller(roles={1: Role.RUNNER})
    check_role(caller, Role.RUNNER, 1, "default")
    with pytest.raises(NotFoundError) as unknown:
        check_role(caller, Role.VIEWER, 2, "hidden")
    assert "hidden" not in str(unknown.value)
    with pytest.raises(RefusedError, match="role maintainer in project 'default'; you are runner"):
        check_role(caller, Role.MAINTAINER, 1, "default")


def test_roles_are_read_by_their_names_only() -> None:
    assert [read_role(role.label) for role in Role] == list(Role)
    for text in ("Admin", "owner", "", "4"):
        with pytest.raises(UsageError):
            read_role(text)


# Every route, every role


RUN = "on: push\njobs:\n  train:\n    runs-on: linux\n    steps:\n    - run: echo\n"
NEEDS = {
    Access.VIEWER: 1,
    Access.VIEWER_OR_JOB: 1,
    Access.RUNNER: 2,
    Access.RUNNER_OR_JOB: 2,
    Access.MAINTAINER: 3,
    Access.ADMIN: 4,
}
CALLERS = ["stranger", "outsider", "viewer", "runner", "maintainer", "admin", "organisation"]


# What takes something away comes last, and what is within a thing before the thing.
ROUTES = sorted(
    (route for route in http_routes() if route.access.admits_people),
    key=lambda route: (route.verb == "DELETE", -len(route.path)),
)


@pytest.fixture(scope="module")
def people(server: ServerProcess) -> Iterator[dict[str, httpx.Client]]:
    """One client for each kind of caller; the roles are in the project `theirs`, the outsider's is in another one."""
    for project in ("theirs", "others"):
        server.api.post("/projects", json={"name": project})
    tokens = {role: server.add_user(f"r-{role}", role=role, project="theirs") for role in CALLERS[2:6]}
    tokens["outsider"] = server.add_user("r-outsider", role="admin", project="others")
    tokens |= {"stranger": "fa_api_" + "0" * 43, "organisation": server.token}
    clients = {name: server.as_user(token) for name, token in tokens.items()}
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture(scope="module")
def things(server: ServerProcess) -> dict[str, object]:
    """What the paths can name, all in the project `theirs`; a user whom nobody knows, so that nobody is changed."""
    run = server.api.post("/runs?project=theirs", json={"flow": {"file": "f.yml", "text": RUN}}).json()["run"]
    agent = TestAgent(server, name="rights", token=server.registration()).connect()
    assign = agent.take()
    artifact = upload(server, agent.open(assign, "ACTIONS_RUNTIME_TOKEN"))
    agent.finish(assign, journal(assign))
    agent.disconnect()
    known = {"run": run, "job": assign.job, "artifact": artifact, "project": "theirs", "user": "somebody"}
    return known | make_triggers(server)


_names = itertools.count()


def make_triggers(server: ServerProcess) -> dict[str, object]:
    """A repository, a webhook and a delivery."""
    name = f"rights-{next(_names)}"

    def post(path: str, **body: object) -> dict[str, Any]:
        answer = server.api.post(f"{path}?project=theirs", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    nowhere = {"url": "https://git.invalid/a/b", "provider": "github", "default_branch": "main"}
    server.api.put("/flows/rights?project=theirs", json={"text": RUN.replace("push", "workflow_dispatch")})
    return {
        "repository": post("/repositories", name=name, **nowhere)["id"],
        "webhook": post("/webhooks", name=name, flow="rights")["name"],
        "delivery": post("/events", event_type=name)["delivery"],
    }


def upload(server: ServerProcess, token: str) -> str:
    service = "/twirp/github.actions.results.api.v1.ArtifactService"
    headers = {"Authorization": f"Bearer {token}"}
    url = server.http.post(f"{service}/CreateArtifact", json={"name": "a"}, headers=headers).json()
    server.http.put(url["signed_upload_url"], content=b"bytes", headers={"x-ms-blob-type": "BlockBlob"})
    done = server.http.post(f"{service}/FinalizeArtifact", json={"name": "a", "size": "5"}, headers=headers)
    return str(done.json()["artifact_id"])


def refusals(route: HttpRoute, caller: str, is_there: bool) -> set[int] | None:
    """The statuses that a refusal has; None: the call gets through to the handler."""
    if caller == "stranger":
        is_sent_to_sign_in = route.page and route.verb in SAFE_METHODS
        return {303} if is_sent_to_sign_in else {401}
    if route.access is Access.MEMBER or caller == "organisation":
        return None
    if route.access in (Access.ORGANISATION, Access.METRICS):
        return {403}
    if caller == "outsider" or not is_there:
        return {404}
    return None if CALLERS.index(caller) - 1 >= NEEDS[route.access] else {403}


@pytest.mark.store("sqlite")
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_each_route_answers_each_role_as_its_access_says(
    server: ServerProcess, people: dict[str, httpx.Client], things: dict[str, object], route: HttpRoute
) -> None:
    named = set(route.parameters) & set(OWNERS)
    query = {} if named else {"project": "theirs"}
    for caller in CALLERS:
        there = things | make_triggers(server) if route.verb == "DELETE" else things
        refusal = refusals(route, caller, named <= there.keys())
        url = f"{server.url}{route.filled(**there)}"
        with people[caller].stream(route.verb, url, params=query, content=b'"not what is wanted"') as answer:
            if refusal is not None:
                assert answer.status_code in refusal, caller
            else:
                assert answer.status_code not in (401, 403), caller
                assert answer.status_code < 500, caller
