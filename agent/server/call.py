"""One request on its way to a handler: who asks, checked before the handler runs, and the typed reading of its parts."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent.errors import AgentError, NotFoundError, RefusedError
from agent.server.auth.access import Access, Caller, check_organisation, check_role
from agent.server.auth.callers import Known, find_caller, find_running_job
from agent.server.auth.place import find_project
from agent.server.auth.roles import Role
from agent.server.auth.tokens import API
from agent.server.problems import (
    ConflictError,
    MalformedError,
    TooLargeError,
    TooManyError,
    UnauthorizedError,
    problem_of,
)
from agent.server.services import Services
from agent.server.store import tokens
from agent.server.store.database import Connection
from agent.server.store.projects import ProjectRow

T = TypeVar("T")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:[0-9]{1,5})?")
_LARGEST_ID = (1 << 63) - 1
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110: these change nothing


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be made."""

    request: Request
    services: Services
    caller: Caller
    found: ProjectRow | None = None

    @property
    def project(self) -> ProjectRow:
        """The project that the request is about, of a route that asks for a role in one."""
        if self.found is None:
            raise AssertionError(f"{self.request.url.path} asks for no role in a project")
        return self.found

    def number(self, name: str) -> int:
        """A number in the path. Raises NotFoundError when it is too large to be an id of ours."""
        value = int(self.request.path_params[name])
        if value > _LARGEST_ID:
            raise NotFoundError("there is nothing with such a number")
        return value

    def text(self, name: str) -> str:
        """A text in the path."""
        return str(self.request.path_params[name])

    async def body(self, kind: type[T]) -> T:
        """The JSON body as a `kind`. Raises MalformedError, TooLargeError."""
        raw = await self.raw_body(self.services.settings.limits.json_bytes)
        try:
            return msgspec.json.decode(raw or b"{}", type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedError(f"the request's body is not what it should be: {error}") from None

    async def raw_body(self, limit_bytes: int) -> bytes:
        """The body's bytes. Raises TooLargeError above `limit_bytes`."""
        body = bytearray()
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > limit_bytes:
                raise TooLargeError(f"the request's body is over {limit_bytes} bytes")
        return bytes(body)

    @property
    def base_url(self) -> str:
        """Where this server is for the caller: the public URL, else the address that the request came to."""
        host = self.request.headers.get("host", "")
        if self.services.settings.public_url or not _HOST.fullmatch(host):
            return self.services.settings.public_url or self.services.folder.read_address()
        return f"{self.request.url.scheme}://{host}"


Handler = Callable[[Call], Awaitable[Response]]


class Guard:
    """An endpoint that asks for its `access` before its handler runs, and turns our errors into problems."""

    def __init__(
        self, access: Access, handler: Handler, on_error: Callable[[AgentError], Response] = problem_of
    ) -> None:
        self.access = access
        self._handler = handler
        self._on_error = on_error

    async def answer(self, request: Request) -> Response:
        """Answer `request`."""
        services: Services = request.app.state.services
        try:
            return await self._handler(await self._admit(request, services))
        except UnauthorizedError as error:
            return self._on_error(count_failure(request, services, error))
        except AgentError as error:
            is_guess = self.access is Access.SIGNED and isinstance(error, RefusedError)
            return self._on_error(count_failure(request, services, error) if is_guess else error)

    async def _admit(self, request: Request, services: Services) -> Call:
        """Who calls, and about which project; raises for those who may not."""
        if not (self.access.admits_people or self.access.admits_jobs):
            return Call(request, services, Caller())
        async with services.database.read() as connection:
            known = await self._identify(request, services, connection)
            project = await self._check_rights(request, connection, known.caller)
        if known.is_worth_noting:
            async with services.database.write() as connection:
                await tokens.touch_token(connection, known.caller.token, services.clock.now())
        return Call(request, services, known.caller, project)

    async def _identify(self, request: Request, services: Services, connection: Connection) -> Known:
        token, now = _bearer(request), services.clock.now()
        if self.access.admits_people and (known := await find_caller(connection, API, token, now)):
            return known
        if self.access.admits_jobs and token.count(".") == 2:
            job = await find_running_job(connection, services.runtime_tokens, token, now)
            return Known(Caller(job=job), is_worth_noting=False)
        raise UnauthorizedError("the token is not known here, or is over", hint="run `agent login` again")

    async def _check_rights(
        self, request: Request, connection: Connection, caller: Caller
    ) -> ProjectRow | None:
        """The project that the request is about, when the route is about one; raises when the rights are too small."""
        if self.access is Access.ORGANISATION:
            check_organisation(caller)
        needed = self.access.role
        if needed is None or caller.job is not None:
            return None
        project = await find_project(connection, request)
        check_role(caller, needed, project.id, project.name)
        is_change = request.method not in SAFE_METHODS
        if project.archived_at is not None and is_change and needed is not Role.ADMIN:
            raise ConflictError(
                "the project is archived: nothing new happens in it",
                where=project.name,
                hint=f"an admin of it can open it again: agent server project set {project.name} --open",
            )
        return project


def count_failure(request: Request, services: Services, error: AgentError) -> AgentError:
    """`error`, or, when this client has failed too often, a word about that."""
    if services.throttle.count_failure(address_of(request)):
        return error
    return TooManyError("too many failures from this address", hint="try again in a minute")


def address_of(request: Request) -> str:
    """The address that the request came from; empty when it is not known."""
    return request.client.host if request.client else ""


def json_response(data: object, status: int = 200) -> JSONResponse:
    """`data` as JSON."""
    return JSONResponse(data, status, headers={"Cache-Control": "no-store"})


def empty_response() -> Response:
    """Done, nothing to say."""
    return Response(status_code=204)


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthorizedError(
            "a token is needed", hint="send `Authorization: Bearer TOKEN`; `agent login` stores one"
        )
    return token.strip()
