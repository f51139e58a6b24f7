"""Who may do what in which project: every route of the table, and the pure rules behind it."""

import pytest
from server.routes import http_routes

from agent.errors import NotFoundError, RefusedError, UsageError
from agent.server.auth.access import Caller, check_organisation, check_role
from agent.server.auth.callers import make_caller
from agent.server.auth.place import OWNERS
from agent.server.auth.roles import Role, read_role
from agent.server.store.tokens import TokenRow
from agent.server.store.users import UserRow

# Path parameters that name something *within* the request's project: a thing of another project can't be named by them.
WITHIN = {"name"}


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
