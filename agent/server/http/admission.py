"""Admission of a caller: who asks, and about which project, checked before the operation's handler runs."""

import hmac
from dataclasses import dataclass

from starlette.requests import Request

from agent.errors import AgentError
from agent.server.events import audit
from agent.server.http.connection_limits import prove
from agent.server.http.forms import is_form, read_form
from agent.server.http.rooms import Rooms
from agent.server.people.auth.access import SAFE_METHODS, Access, Caller, check_organisation, check_role
from agent.server.people.auth.callers import Known, find_caller, find_running_job
from agent.server.people.auth.place import describe_asked, find_project
from agent.server.people.auth.roles import Role
from agent.server.people.auth.sessions import CSRF_FIELD, CSRF_HEADER, check_origin, is_followed_link
from agent.server.people.auth.tokens import API, SESSION
from agent.server.process.client_groups import group_of
from agent.server.process.problems import ConflictError, TooManyError, UnauthorizedError
from agent.server.store import tokens
from agent.server.store.database import Connection
from agent.server.store.projects import ProjectRow
from agent.serving_git.upload_pack import read_token


@dataclass(frozen=True, slots=True)
class Admitted:
    """A caller who may, and the project that it is about."""

    caller: Caller
    project: ProjectRow | None = None


async def admit(request: Request, rooms: Rooms, access: Access, *, is_link: bool = False) -> Admitted:
    """Who calls, and about which project; raises for those who may not. The audit log's row of the call is told too.

    `is_link`: a page of another site may lead there.
    """
    if not (access.admits_people or access.admits_jobs):
        return Admitted(Caller())
    if access is Access.METRICS and _may_scrape(request, rooms.process.scrapers):
        return Admitted(Caller())
    async with rooms.database.read() as connection:
        known = await _identify(request, rooms, access, connection, is_link=is_link)
        prove(request.scope)
        audit.say_who(known.caller.name, known.caller.user, known.caller.token)
        project = await _check_rights(request, access, connection, known.caller)
    audit.say_where(None if project is None else project.id)
    if known.is_worth_noting:
        async with rooms.database.write() as connection:
            await tokens.touch_token(connection, known.caller.token, rooms.clock.now())
    return Admitted(known.caller, project)


def count_failure(request: Request, rooms: Rooms, error: AgentError) -> AgentError:
    """`error`, or, when this client has failed too often, a word about that."""
    if rooms.people.throttle.count_failure(group_of(address_of(request))):
        return error
    return TooManyError("too many failures from this address", hint="try again in a minute")


def address_of(request: Request) -> str:
    """The address that the request came from; empty when it is not known."""
    return request.client.host if request.client else ""


async def _identify(
    request: Request, rooms: Rooms, access: Access, connection: Connection, *, is_link: bool
) -> Known:
    if "authorization" not in request.headers and access.admits_people:
        return await _identify_browser(request, rooms, connection, is_link=is_link)
    token = _git_token(request) if access is Access.GIT else _bearer(request)
    now = rooms.clock.now()
    if access.admits_people and (known := await find_caller(connection, API, token, now)):
        return known
    if access.admits_jobs and token.count(".") == 2:
        job = await find_running_job(connection, rooms.people.runtime_tokens, token, access.audience)
        return Known(Caller(name=job.job, job=job), is_worth_noting=False)
    raise UnauthorizedError("the token is not known here, or is over", hint="run `agent login` again")


async def _identify_browser(
    request: Request, rooms: Rooms, connection: Connection, *, is_link: bool
) -> Known:
    """Who is signed in by this browser; what it changes must come from a page of ours."""
    token = rooms.people.sessions.read(request)
    if not token:
        raise UnauthorizedError(
            "a token is needed", hint="send `Authorization: Bearer TOKEN`; `agent login` stores one"
        )
    if not (is_link and is_followed_link(request)):
        check_origin(request)
    known = await find_caller(connection, SESSION, token, rooms.clock.now())
    if known is None:
        raise UnauthorizedError("the session is over", hint="sign in again")
    if request.method not in SAFE_METHODS:
        given = request.headers.get(CSRF_HEADER)
        if given is None and is_form(request):
            given = (await read_form(request)).get(CSRF_FIELD)
        rooms.people.sessions.check_csrf(token, given or "")
    return known


async def _check_rights(
    request: Request, access: Access, connection: Connection, caller: Caller
) -> ProjectRow | None:
    """The project that the request is about, when the route is about one; raises when the rights are too small."""
    if access in (Access.ORGANISATION, Access.METRICS):
        check_organisation(caller)
    needed = access.role
    if needed is None:
        return None
    if caller.job is not None:
        return await find_project(connection, request, caller.job.job)
    project = await find_project(connection, request)
    check_role(caller, needed, project.id, project.name, describe_asked(request))
    is_change = request.method not in SAFE_METHODS
    if project.archived_at is not None and is_change and needed is not Role.ADMIN:
        raise ConflictError(
            "the project is archived: nothing new happens in it",
            where=project.name,
            hint=f"an admin of it can open it again: agent server project open {project.name}",
        )
    return project


def _may_scrape(request: Request, allowed: str) -> bool:
    """Whether the operator lets this request see the figures without an account."""
    given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
    return allowed == "open" or (bool(allowed) and hmac.compare_digest(given, allowed.encode()))


def _git_token(request: Request) -> str:
    token = read_token(request.headers.get("authorization", ""))
    if not token:
        raise UnauthorizedError("the job's token is needed", hint="show it as the password, of any user")
    return token


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() not in ("bearer", "token") or not token.strip():  # GitHub's clients say `token`
        raise UnauthorizedError(
            "a token is needed", hint="send `Authorization: Bearer TOKEN`; `agent login` stores one"
        )
    return token.strip()
