"""The endpoint before each handler: who calls and how often, the query, repeated requests, and errors as problems."""

import logging
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from agent.errors import AgentError, RefusedError, UsageError
from agent.server.events import audit
from agent.server.http.admission import Admitted, address_of, admit, count_failure
from agent.server.http.call import Call, ViewResponse, read_query
from agent.server.http.operation import ANY, Media, Operation
from agent.server.http.rooms import Rooms
from agent.server.people.auth.access import SAFE_METHODS, Access
from agent.server.people.auth.rates import RateState
from agent.server.process.client_groups import group_of
from agent.server.process.idempotency import HEADER, KeyClaim
from agent.server.process.logs import note_request
from agent.server.process.problems import TooManyError, UnauthorizedError
from agent.server.store.failures import UnavailableError

log = logging.getLogger("agent.server")
_LONGEST_TARGET = 500
_CLIENT_GONE = 499  # as nginx has it in its logs
_SIGNED = (Access.SIGNED, Access.HOOK, Access.DOOR)  # a refusal here is a guess that went wrong

SayError = Callable[[Request, AgentError], Response]


class Guard:
    """Answers one operation."""

    def __init__(self, operation: Operation, say_error: SayError) -> None:
        self.operation = operation
        self._say_error = say_error

    async def answer(self, request: Request) -> Response:
        """Answer `request`; that it changed something, or was refused to, stands in the audit log."""
        rooms: Rooms = request.app.state.rooms
        note_request(request, self.operation.path)
        try:
            return await self._answer_audited(request, rooms)
        finally:
            rooms.http.bodies.release(request.scope)

    async def _answer_audited(self, request: Request, rooms: Rooms) -> Response:
        if not self.operation.is_audited:
            return await self._answer(request, rooms)
        path = request.url.path[:_LONGEST_TARGET]
        entry = audit.AuditedCall(f"{request.method} {self.operation.path}", path, address_of(request))
        with audit.auditing(entry):
            status = 500
            try:
                response = await self._answer(request, rooms)
                status = response.status_code
            finally:
                await self._close_entry(entry, rooms, request.method, status)
        return response

    async def _answer(self, request: Request, rooms: Rooms) -> Response:
        standing: RateState | None = None
        try:
            _refuse_nul(request)
            admitted = await admit(request, rooms, self.operation.access, is_link=self.operation.is_link)
            standing = self._take_turn(request, rooms, admitted)
            call = self._make_call(request, rooms, admitted)
            await self._refuse_secrets(call)
            response = await self._carry_out(call)
            self._check_answer(response)
        except ClientDisconnect:  # cut off in the middle of its body: only our own logs hear of this answer
            response = Response(status_code=_CLIENT_GONE)
        except UnauthorizedError as error:
            response = self._say_error(request, count_failure(request, rooms, error))
        except AgentError as error:
            is_guess = self.operation.access in _SIGNED and isinstance(error, RefusedError)
            told = count_failure(request, rooms, error) if is_guess else error
            response = self._say_error(request, told)
        if standing is not None:
            response.headers.update(standing.headers)
        return response

    async def _close_entry(self, entry: audit.AuditedCall, rooms: Rooms, method: str, status: int) -> None:
        """The row of a call that changed nothing: it was refused, it failed, or there was nothing to change.

        Strangers without a good token, and who is told to slow down, don't fill the log.
        """
        is_noise = status == 429 or not (entry.actor or entry.notes)
        if entry.is_written or is_noise or (method in SAFE_METHODS and status < 400):
            return
        outcome: audit.Outcome = "done" if status < 400 else "refused" if status < 500 else "failed"
        await rooms.changes.write_down(entry, outcome)

    async def _refuse_secrets(self, call: Call) -> None:
        """Raises UsageError when a job's request names a secret of its; no log says what the path was."""
        if call.caller.job is None:
            return
        request = call.request
        request.scope["shown_path"] = self.operation.path
        if request.method not in SAFE_METHODS:
            path = audit.hide_target(self.operation.path)
            if (
                self.operation.access is Access.GIT
            ):  # it stores nothing, and a repository may be called as a secret is
                return
            await call.refuse_secrets(_words(request))
            audit.hide_target(path)

    def _take_turn(self, request: Request, rooms: Rooms, admitted: Admitted) -> RateState | None:
        """Count the request of a person, or of an address that shows no token. Raises TooManyError."""
        if admitted.caller.job is not None or self.operation.access in (Access.SIGNED, Access.DOOR):
            return None  # what jobs send is bounded by how many of them run, and records by room for them
        token = admitted.caller.token
        standing = rooms.http.rates.take(
            *(("token", token) if token else ("address", group_of(address_of(request))))
        )
        if standing is not None and standing.retry_seconds:
            raise TooManyError(
                "too many requests", hint="wait a moment", retry_seconds=standing.retry_seconds
            )
        return standing

    def _make_call(self, request: Request, rooms: Rooms, admitted: Admitted) -> Call:
        kind = self.operation.query
        known = ("project",) if self.operation.access.role is not None else ()
        query = None if kind is None else read_query(request, kind, known)
        return Call(request, rooms, admitted.caller, admitted.project, query)

    async def _carry_out(self, call: Call) -> Response:
        """The handler's answer; for a repeated request the one that it had before."""
        key = call.request.headers.get(HEADER)
        if key is None or not self.operation.is_repeatable:
            return await self.operation.handler(call)
        call = await call.with_body()
        claim = await call.rooms.process.idempotency.claim(
            key, call.request, call.caller.owner, call.read or b""
        )
        if not isinstance(claim, KeyClaim):
            return claim
        try:
            response = await self.operation.handler(call)
        except UnavailableError:
            raise  # the commit may have come through: nobody knows, and whoever repeats it is told so
        except AgentError:
            await call.rooms.process.idempotency.release(claim)
            raise
        await call.rooms.process.idempotency.keep(claim, response)
        return response

    def _check_answer(self, response: Response) -> None:
        """What goes out must be what the row says; where it is not, the log does (and tests look there)."""
        answers = self.operation.answers
        declared = answers.get(response.status_code)
        if isinstance(response, ViewResponse):
            is_declared = type(response.view) is declared
        elif isinstance(declared, Media):
            is_declared = declared is ANY or response.headers.get("content-type", "").startswith(
                declared.type
            )
        else:
            is_declared = response.status_code in answers
        if self.operation.documented and not is_declared:
            log.error("undocumented answer: %s, status %d", self.operation.name, response.status_code)


def _words(request: Request) -> list[str]:
    """What path and query name."""
    named = [value for value in request.path_params.values() if isinstance(value, str)]
    return [*named, *(text for pair in request.query_params.multi_items() for text in pair)]


def _refuse_nul(request: Request) -> None:
    """U+0000 is a text on SQLite and none on PostgreSQL; here it is none."""
    if "\x00" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        raise UsageError("the address holds the character U+0000, which no text may have")
