"""Public repositories of other hosts, handed on to jobs as they come: git's own requests, for reading, with nobody's credentials.

    job's git --GET /OWNER/NAME/info/refs, POST /OWNER/NAME/git-upload-pack--> server --the same--> host

Nothing of the job's request goes along but what git says about itself: no token, no cookie, no address. So a job sees what
anybody may see. The host is the one that the run's repository is on; it has to be one that the operator lets the server hand on
(`AGENT_PUBLIC_CODE`) and that it may speak to (`outside`), at the very addresses that were looked at. What comes is held in
memory a piece at a time.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import IO, TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

from agent.errors import NotFoundError, UnreachableError
from agent.server.pools import OverloadedError, Pool
from agent.server.shares import Shares
from agent.server.triggers.outside import OutsideRule, host_of
from agent.serving_git import upload_pack as git
from agent.serving_git.relay import (
    ANSWERS,
    MOVED,
    PASSED_ON,
    PATH,
    describe_refusal,
    find_head,
    find_new_path,
    name_of,
)

if TYPE_CHECKING:
    import httpx

_OF_A_HOST: Final = 16  # requests to one host at a time; more wait for their turn
_OF_A_JOB: Final = 4
_MOST_WAITING: Final = 256
_TURN_SECONDS: Final = 120.0
_HEAD_SECONDS: Final = 60.0  # until the host begins to answer
_PAUSE_SECONDS: Final = 120.0  # between two pieces of its answer
_MOST_HEAD_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class GitRequest:
    """What a job's git asks: `tail` is `/info/refs?service=...` or `/git-upload-pack`; `body` is a file, unzipped, at its beginning."""

    tail: str
    headers: Mapping[str, str]
    body: IO[bytes] | None = None


@dataclass(frozen=True, slots=True)
class PublicAnswer:
    """What a host says: pieces of its answer, or the path (with its query) at which it says that the repository is now."""

    media_type: str
    pieces: AsyncIterator[bytes]
    moved_to: str = ""


class PublicCode:
    """Hands on what hosts show to everybody; `hosts` are those that the operator lets it, by name, `*` for any."""

    def __init__(self, outside: OutsideRule, threads: Pool, hosts: tuple[str, ...]) -> None:
        self._outside = outside
        self._threads = threads
        self._hosts = tuple(name.lower() for name in hosts)
        self._of_hosts = Shares(_OF_A_HOST, _MOST_WAITING)
        self._of_jobs = Shares(_OF_A_JOB, _MOST_WAITING)

    @asynccontextmanager
    async def open(self, job: str, url: str, request: GitRequest) -> AsyncIterator[PublicAnswer]:
        """The host's answer to `request` about the repository at `url` (`https://HOST/OWNER/NAME`), for `job`.

        Raises NotFoundError where it shows nobody such a repository, or is not to be asked; RefusedError for a host that the server
        may not speak to; UnreachableError; OverloadedError when no turn comes.
        """
        self._check(url)
        host = host_of(url)
        async with _turn(self._of_jobs, job), _turn(self._of_hosts, host):
            place = await self._threads.run_for(host, self._outside.check, url)
            pinned, own, extensions = place.pin(f"{url}{request.tail}")
            headers = {**_pass_on(request), **own}
            async with _send(pinned, headers, extensions, request.body) as response:
                yield _judge(url, request.tail, response)

    async def find_default_branch(self, job: str, url: str, *, may_move: bool = True) -> str:
        """The default branch of a public repository, "" of an empty one. Raises as `open` does."""
        asked = GitRequest(f"/info/refs?service={git.SERVICE}", {"user-agent": "git/2"})
        head = b""
        async with self.open(job, url, asked) as answer:
            async for piece in answer.pieces:
                head += piece
                if len(head) > _MOST_HEAD_BYTES or answer.moved_to:
                    break
        if not answer.moved_to:
            return find_head(head)
        if not may_move:
            raise NotFoundError(f"{url} has moved too often")
        place = urljoin(url, f"/{name_of(urlsplit(answer.moved_to).path)}")
        return await self.find_default_branch(job, place, may_move=False)

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        name = (parts.hostname or "").lower()
        if parts.scheme not in ("http", "https") or not PATH.fullmatch(f"{parts.path}/info/refs"):
            raise NotFoundError(f"there is no public repository {url}")
        if not any(fnmatchcase(name, one) for one in self._hosts):
            raise NotFoundError(
                f"this server does not hand on repositories of {name}",
                hint="its operator can have it do so: AGENT_PUBLIC_CODE; or connect the repository to the project",
            )


def _pass_on(request: GitRequest) -> dict[str, str]:
    passed = {name: value for name in PASSED_ON if (value := request.headers.get(name.lower(), ""))}
    if request.body is not None:
        passed["Content-Length"] = str(request.body.seek(0, 2))
        request.body.seek(0)
    return {"Accept-Encoding": "identity", **passed}


@asynccontextmanager
async def _send(
    url: str, headers: Mapping[str, str], extensions: Mapping[str, str], body: IO[bytes] | None
) -> AsyncIterator["httpx.Response"]:
    import httpx  # most servers hand on nothing

    times = httpx.Timeout(_PAUSE_SECONDS, connect=_HEAD_SECONDS)
    async with httpx.AsyncClient(timeout=times, follow_redirects=False, trust_env=False) as client:
        content = None if body is None else _read(body)
        asked = client.build_request(
            "GET" if body is None else "POST", url, headers=headers, content=content, extensions=extensions
        )
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                response = await client.send(asked, stream=True)
        except (TimeoutError, httpx.HTTPError) as error:
            where = headers["Host"]
            why = str(error) or type(error).__name__
            raise UnreachableError(f"{where} does not answer: {why}") from None
        try:
            yield response
        finally:
            await response.aclose()


async def _read(body: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := body.read(git.CHUNK_BYTES):
        yield piece


def _judge(url: str, tail: str, response: "httpx.Response") -> PublicAnswer:
    """What the answer's head says. Raises NotFoundError, UnreachableError."""
    parts, status = urlsplit(url), response.status_code
    if status in MOVED:
        moved_to = find_new_path(f"{url}{tail}", response.headers.get("location", ""))
        return PublicAnswer("", _pieces(url, response), moved_to)
    if status != 200:
        raise describe_refusal(f"{parts.scheme}://{parts.netloc}", name_of(parts.path), status)
    kind = response.headers.get("content-type", "")
    if kind not in ANSWERS:
        raise NotFoundError(f"{parts.netloc} has no git repository {name_of(parts.path)}")
    return PublicAnswer(kind, _pieces(url, response))


async def _pieces(url: str, response: "httpx.Response") -> AsyncIterator[bytes]:
    import httpx

    try:
        async for piece in response.aiter_raw():
            yield piece
    except httpx.HTTPError as error:
        raise UnreachableError(f"{url} broke off: {str(error) or type(error).__name__}") from None


@asynccontextmanager
async def _turn(shares: Shares, client: str) -> AsyncIterator[None]:
    """A share for as long as the block runs. Raises OverloadedError."""
    turn = shares.ask(client)
    if turn is None:
        raise _overloaded(client)
    try:
        async with asyncio.timeout(_TURN_SECONDS):
            await asyncio.wrap_future(turn)
    except BaseException as error:
        if not turn.cancel():  # it came all the same
            shares.give_back(client)
        if isinstance(error, TimeoutError):
            raise _overloaded(client) from None
        raise
    try:
        yield
    finally:
        shares.give_back(client)


def _overloaded(client: str) -> OverloadedError:
    return OverloadedError(f"too much is asked of {client} already", hint="try again in a moment")
