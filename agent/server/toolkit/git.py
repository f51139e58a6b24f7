"""Git's smart HTTP for the code of a job's run: `/OWNER/NAME/info/refs` and `/OWNER/NAME/git-upload-pack`, reading only.

What `actions/checkout` and any other git asks for, answered by git's own `upload-pack` in a process of its own. A request
comes whole to disk before that begins; its answer streams, and who hangs up ends the process.
"""

import asyncio
import contextlib
import logging
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import IO, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from agent.errors import AgentError, NotFoundError, RefusedError
from agent.server.http.call import Call
from agent.server.http.operation import Operation
from agent.server.people.auth.access import Access
from agent.server.process.problems import UnauthorizedError, UnsupportedMediaError, status_of
from agent.server.triggers.public_code import GitRequest
from agent.server.triggers.serving import CodeElsewhere, OpenedCode
from agent.serving_git import large_files
from agent.serving_git import upload_pack as git

log = logging.getLogger("agent.server.toolkit.git")
_FRESH: Final = {"Cache-Control": "no-cache, max-age=0, must-revalidate", "Pragma": "no-cache"}
_MOST_SECONDS: Final = 6 * 3600.0


async def list_refs(call: Call) -> Response:
    """The refs of the run's code, or what the server can do, as git's client asks first."""
    service = call.request.query_params.get("service", "")
    if service != git.SERVICE:
        raise RefusedError(
            "code is only read here, and by git's smart protocol",
            hint="push to the address that the repository has outside",
        )
    protocol = call.request.headers.get("git-protocol", "")
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(open_code(call))
        if isinstance(opened, CodeElsewhere):
            return await _hand_on(call, opened, f"/info/refs?service={git.SERVICE}", stack)
        command = git.advertise_command(opened.place)
        return _GitResponse(
            command, protocol, git.ADVERTISEMENT, stack.pop_all(), opening=git.opening(protocol)
        )


async def send_objects(call: Call) -> Response:
    """The objects that a client of git lacks."""
    if call.request.headers.get("content-type", "") != git.REQUEST:
        raise UnsupportedMediaError("the request's body is none of git's", hint=f"send {git.REQUEST}")
    async with AsyncExitStack() as stack:
        asked = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it ends with the answer
        await _read_request(call.request, asked)
        opened = await stack.enter_async_context(open_code(call))
        if isinstance(opened, CodeElsewhere):
            return await _hand_on(call, opened, f"/{git.SERVICE}", stack, asked)
        protocol = call.request.headers.get("git-protocol", "")
        return _GitResponse(
            git.answer_command(opened.place), protocol, git.RESULT, stack.pop_all(), asked=asked
        )


async def _hand_on(
    call: Call, code: CodeElsewhere, tail: str, held: AsyncExitStack, body: IO[bytes] | None = None
) -> Response:
    """What the host of another repository answers, as it comes."""
    request = GitRequest(tail, call.request.headers, body)
    answer = await held.enter_async_context(call.rooms.code.public.open(code.job, code.url, request))
    if answer.moved_to:
        return Response(
            status_code=301, headers={"Location": f"{call.base_url.rstrip('/')}{answer.moved_to}"}
        )
    return _HeldResponse(answer.pieces, answer.media_type, held.pop_all())


async def refuse_large_files(call: Call) -> Response:
    """What Git LFS asks for: none of it is here, and the answer says what to do."""
    body = await call.raw_body(large_files.MOST_BODY_BYTES)
    async with open_code(call):
        said = large_files.answer_batch(body, None, "", "", large_files.NOT_ON_SERVER)
    return JSONResponse(said, media_type=large_files.MEDIA_TYPE)


def say_git_error(_request: Request, error: AgentError) -> Response:
    """As git shows it: plain text, each line of it behind `remote:`."""
    headers = {"WWW-Authenticate": 'Basic realm="flow"'} if isinstance(error, UnauthorizedError) else {}
    return PlainTextResponse(f"{error}\n", status_of(error), headers=headers)


def open_code(call: Call) -> contextlib.AbstractAsyncContextManager[OpenedCode | CodeElsewhere]:
    """The repository that the path names, for the job that asks. Raises NotFoundError."""
    if call.caller.job is None:
        raise NotFoundError("there is no such repository for people", hint="the tokens of jobs open it")
    return call.rooms.code.open(call.caller.job, call.text("owner"), call.text("name"))


async def _read_request(request: Request, out: IO[bytes]) -> None:
    """The body, unzipped, in `out`, which then stands at its beginning. Raises RefusedError, DamagedError."""
    unpacker = git.Unpacker(request.headers.get("content-encoding", ""))
    async for chunk in request.stream():
        for piece in unpacker.take(chunk):
            out.write(piece)
    out.seek(0)


class _HeldResponse(StreamingResponse):
    """Pieces of an answer. All that it holds ends with it, however that ends."""

    def __init__(self, pieces: AsyncIterator[bytes], media_type: str, held: AsyncExitStack) -> None:
        super().__init__(pieces, media_type=media_type, headers=_FRESH)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                await super().__call__(scope, receive, send)
        finally:
            await self._end()

    async def _end(self) -> None:
        await self._held.aclose()


class _GitResponse(_HeldResponse):
    """What a git prints. Its process ends with the answer, too."""

    def __init__(
        self,
        command: Sequence[str],
        protocol: str,
        media_type: str,
        held: AsyncExitStack,
        *,
        opening: bytes = b"",
        asked: IO[bytes] | None = None,
    ) -> None:
        super().__init__(self._read(opening), media_type, held)
        self._command = command
        self._environment = git.protocol_environment(protocol)
        self._asked = asked
        self._process: asyncio.subprocess.Process | None = None

    async def _read(self, opening: bytes) -> AsyncIterator[bytes]:
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL if self._asked is None else self._asked.fileno(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=self._environment,
            cwd="/",
            start_new_session=True,
        )
        assert process.stdout is not None
        if opening:
            yield opening
        while chunk := await process.stdout.read(git.CHUNK_BYTES):
            yield chunk
        if await process.wait():
            log.warning("git upload-pack ended with %d", process.returncode)

    async def _end(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        await super()._end()


_PATH: Final = "/{owner}/{name}"
OPERATIONS = (
    Operation("GET", f"{_PATH}/info/refs", Access.GIT, list_refs, query=None, documented=False),
    Operation("POST", f"{_PATH}/git-upload-pack", Access.GIT, send_objects, query=None, documented=False),
    Operation(
        "POST", f"{_PATH}{large_files.BATCH}", Access.GIT, refuse_large_files, query=None, documented=False
    ),
)
