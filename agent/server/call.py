"""One request on its way to a handler: who asks, checked before the handler runs, and the typed reading of its parts."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent.errors import AgentError, NotFoundError, RefusedError
from agent.server.auth.access import Access, Caller
from agent.server.auth.runtime import JobIdentity
from agent.server.auth.tokens import API, find_token
from agent.server.problems import MalformedError, TooLargeError, TooManyError, UnauthorizedError, problem_of
from agent.server.services import Services
from agent.server.store import jobs

T = TypeVar("T")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:[0-9]{1,5})?")
_LARGEST_ID = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be made."""

    request: Request
    services: Services
    caller: Caller

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
            caller = await self._identify(request, services)
            return await self._handler(Call(request, services, caller))
        except UnauthorizedError as error:
            return self._on_error(count_failure(request, services, error))
        except AgentError as error:
            is_guess = self.access is Access.SIGNED and isinstance(error, RefusedError)
            return self._on_error(count_failure(request, services, error) if is_guess else error)

    async def _identify(self, request: Request, services: Services) -> Caller:
        wants_job = self.access in (Access.JOB, Access.ADMIN_OR_JOB)
        wants_admin = self.access in (Access.ADMIN, Access.ADMIN_OR_JOB)
        if not (wants_job or wants_admin):
            return Caller()
        token = _bearer(request)
        if wants_admin and (found := await _find_admin(services, token)):
            return Caller(token=found)
        if wants_job and token.count(".") == 2:
            return Caller(job=await find_running_job(services, token))
        raise UnauthorizedError("the token is not known here, or is over", hint="run `agent login` again")


def count_failure(request: Request, services: Services, error: AgentError) -> AgentError:
    """`error`, or, when this client has failed too often, a word about that."""
    client = request.client.host if request.client else ""
    if services.throttle.count_failure(client):
        return error
    return TooManyError("too many failures from this address", hint="try again in a minute")


async def find_running_job(services: Services, token: str) -> JobIdentity:
    """The job whose runtime token `token` is, when that job still runs under the lease that it names.

    Raises UnauthorizedError.
    """
    try:
        identity = services.runtime_tokens.read(token, services.clock.now())
    except RefusedError as error:
        raise UnauthorizedError(error.what) from None
    async with services.database.read() as connection:
        row = await jobs.find_job(connection, identity.job)
    if row is None or row.run != identity.run or row.lease != identity.lease or row.status not in jobs.ACTIVE:
        raise UnauthorizedError("the job of this token has ended, or runs under another lease")
    return identity


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


async def _find_admin(services: Services, token: str) -> str | None:
    async with services.database.read() as connection:
        row = await find_token(connection, API, token, services.clock.now())
    return None if row is None else row.id
