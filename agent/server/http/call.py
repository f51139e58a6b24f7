"""A request that may be made, as its handler sees it: the typed parts of it, and answers."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent.errors import NotFoundError, UsageError
from agent.server.http.rooms import Rooms
from agent.server.people.auth.access import Caller
from agent.server.people.job_secrets import texts_of
from agent.server.process.own_url import request_url
from agent.server.process.problems import MalformedError, TooLargeError, UnsupportedMediaError
from agent.server.store.projects import ProjectRow

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)
_LARGEST_ID = (1 << 63) - 1
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_HEADERS = {"Cache-Control": "no-store"}


class ViewResponse(Response):
    """A Struct as JSON."""

    media_type = "application/json"

    def __init__(self, view: msgspec.Struct, status_code: int = 200) -> None:
        self.view = view
        super().__init__(msgspec.json.encode(view), status_code, headers=_HEADERS)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be made."""

    request: Request
    rooms: Rooms
    caller: Caller
    found: ProjectRow | None = None
    parameters: msgspec.Struct | None = None  # the query, checked
    read: bytes | None = None  # the body, when it was read already

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

    def query(self, kind: type[S]) -> S:
        """The query parameters, as the `query` of the operation's row."""
        assert type(self.parameters) is kind, "the operation's row names another query"
        return self.parameters

    async def body(self, kind: type[T]) -> T:
        """The JSON body as a `kind`. Raises MalformedError, TooLargeError, UnsupportedMediaError, UsageError."""
        media = self.request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if media not in ("", "application/json"):
            raise UnsupportedMediaError(f"the request's body is {media[:80]}", hint="send application/json")
        raw = await self.raw_body(self.rooms.process.limits.json_bytes)
        if _NUL.search(raw):
            raise UsageError("the request's body holds the character U+0000, which no text may have")
        await self.refuse_secrets(texts_of(raw))
        try:
            return msgspec.json.decode(raw or b"{}", type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedError(f"the request's body is not what it should be: {error}") from None

    async def refuse_secrets(self, texts: Iterable[str]) -> None:
        """Raises UsageError when a job calls, and one of `texts` holds a secret that it was given."""
        if self.caller.job is not None:
            token = self.request.headers.get("authorization", "").partition(" ")[2].strip()
            await self.rooms.people.job_secrets.refuse(self.caller.job, token, texts)

    async def raw_body(self, limit_bytes: int) -> bytes:
        """The body's bytes. Raises TooLargeError above `limit_bytes`; TooManyError, OverloadedError when too much is sent at a time."""
        if self.read is not None:
            return self.read
        too_large = TooLargeError(f"the request's body is over {limit_bytes} bytes")
        announced = self.request.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced[:18]) > limit_bytes:
            raise too_large
        body = bytearray()
        async for chunk in self.request.stream():
            self.rooms.http.bodies.take(self.request.scope, len(chunk))
            body += chunk
            if len(body) > limit_bytes:
                raise too_large
        return bytes(body)

    async def with_body(self) -> "Call":
        """The same, its body read. Raises TooLargeError."""
        return replace(self, read=await self.raw_body(self.rooms.process.limits.json_bytes))

    @property
    def base_url(self) -> str:
        """Where this server is for the caller: the public URL, else the address that the request came to."""
        own = self.rooms.process.public_url or request_url(self.request)
        return own or self.rooms.process.folder.read_address()

    def page_url(self, run: int) -> str:
        """Where people look at the run."""
        return f"{self.base_url}/status/runs/{run}"


Handler = Callable[[Call], Awaitable[Response]]


def read_query(request: Request, kind: type[msgspec.Struct], known: Collection[str]) -> msgspec.Struct:
    """The query parameters as a `kind`, each given once; `known` ones are read elsewhere.

    Raises MalformedError, also for those that nobody knows.
    """
    given = request.query_params.multi_items()
    if len({name for name, _ in given}) < len(given):
        raise MalformedError("a query parameter is given twice")
    own = {name: value for name, value in given if name not in known}
    try:
        return msgspec.convert(own, kind, strict=False)
    except msgspec.ValidationError as error:
        raise MalformedError(f"the query is not what it should be: {error}") from None


def view_response(view: msgspec.Struct, status: int = 200) -> ViewResponse:
    """An answer; the operation's row names its type."""
    return ViewResponse(view, status)


def json_response(data: object, status: int = 200) -> JSONResponse:
    """`data` as JSON, where somebody else's protocol has no Struct of ours."""
    return JSONResponse(data, status, headers=_HEADERS)


def empty_response() -> Response:
    """Done, nothing to say."""
    return Response(status_code=204)
