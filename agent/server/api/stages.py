"""`/api/v1/stages/...`: what the supervisor of a job of stages asks and tells: bookmarks, records of its queues, figures, and
records that are kept.

Only such a job may, with its own token, and only for its own flow in its own project.
"""

from typing import Annotated, Any, TypeVar

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import ANY, V1, Operation
from agent.server.people.auth.access import Access
from agent.server.people.job_secrets import texts_of
from agent.server.process.problems import MalformedError
from agent.server.streams.bookmarks import BookmarkNames, BookmarkView
from agent.server.streams.figures import FigureBody
from agent.server.streams.kept_records import MOST_BYTES
from agent.server.streams.stage_jobs import StageJob
from agent.server.streams.taking import RecordsView

T = TypeVar("T", bound=msgspec.Struct)
_MOST_VALUE_BYTES = 64 << 10
_MOST_SETTLE_BYTES = 1 << 20

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
Path = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Fence = Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]
Seconds = Annotated[float, msgspec.Meta(ge=1, le=3600, description="the bookmark is held for so long")]


class TakeBookmark(msgspec.Struct, forbid_unknown_fields=True):
    """Which bookmark, and for how long without a word."""

    name: Name
    seconds: Seconds


class KeepBookmark(msgspec.Struct, forbid_unknown_fields=True):
    """A bookmark that is held under `fence`, and for how long from now on."""

    name: Name
    fence: Fence
    seconds: Seconds


class PutBookmark(msgspec.Struct, forbid_unknown_fields=True):
    """A bookmark that is held under `fence`, and its value from now on."""

    name: Name
    fence: Fence
    value: Any


class FreeBookmark(msgspec.Struct, forbid_unknown_fields=True):
    """A bookmark that is held under `fence`."""

    name: Name
    fence: Fence


class BookmarkQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How the names begin."""

    prefix: Annotated[str, msgspec.Meta(max_length=500)] = ""


class KeepQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Whether the records are dead letters."""

    is_dead: bool = False


class TakeRecords(msgspec.Struct, forbid_unknown_fields=True):
    """Records of the queue at `path`: at most so many, waiting so many seconds for the first.

    `turn` names the request; when its answer was lost, the same with `again` gives what was taken then.
    """

    path: Path
    most: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 300
    wait: Annotated[float, msgspec.Meta(ge=0, le=25)] = 0.0
    turn: Annotated[str, msgspec.Meta(max_length=100)] = ""
    again: bool = False


class SettleRecords(msgspec.Struct, forbid_unknown_fields=True):
    """Records of the queue at `path` that have ended."""

    path: Path
    ids: Annotated[list[Annotated[str, msgspec.Meta(max_length=100)]], msgspec.Meta(max_length=1000)]


async def take_bookmark(call: Call) -> Response:
    """Hold a bookmark of the flow."""
    job = await _find_job(call)
    body = await call.body(TakeBookmark)
    return view_response(await call.rooms.streams.bookmarks.take(job, body.name, body.seconds))


async def keep_bookmark(call: Call) -> Response:
    """Hold a bookmark on."""
    job = await _find_job(call)
    body = await call.body(KeepBookmark)
    await call.rooms.streams.bookmarks.keep(job, body.name, body.fence, body.seconds)
    return empty_response()


async def put_bookmark(call: Call) -> Response:
    """Set a bookmark's value."""
    job = await _find_job(call)
    read = await call.with_body()
    if len(read.read or b"") > _MOST_VALUE_BYTES:
        raise MalformedError(f"a bookmark's value is at most {_MOST_VALUE_BYTES} bytes")
    body = await read.body(PutBookmark)
    await call.rooms.streams.bookmarks.put(job, body.name, body.fence, body.value)
    return empty_response()


async def free_bookmark(call: Call) -> Response:
    """Let others have a bookmark."""
    job = await _find_job(call)
    body = await call.body(FreeBookmark)
    await call.rooms.streams.bookmarks.free(job, body.name, body.fence)
    return empty_response()


async def name_bookmarks(call: Call) -> Response:
    """The flow's bookmarks, and which of them are held."""
    job = await _find_job(call)
    return view_response(await call.rooms.streams.bookmarks.names(job, call.query(BookmarkQuery).prefix))


async def take_records(call: Call) -> Response:
    """Take records of a queue; waits for the first."""
    job = await _find_job(call)
    body = await _read(call, TakeRecords)
    taken = await call.rooms.streams.taking.take(
        job, body.path, most=body.most, wait=body.wait, turn=body.turn, is_again=body.again
    )
    return view_response(taken)


async def settle_records(call: Call) -> Response:
    """Records that were taken have ended: they are gone for good."""
    job = await _find_job(call)
    body = await _read(call, SettleRecords)
    await call.rooms.streams.taking.settle(job, body.path, body.ids)
    return empty_response()


async def note_figures(call: Call) -> Response:
    """How the stages of the job stand, since it began."""
    job = await _find_job(call)
    await call.rooms.streams.figures.note(job, await _read(call, FigureBody))
    return empty_response()


async def keep_records(call: Call) -> Response:
    """Keep records for people to look at: lines of JSON, or dead letters."""
    job = await _find_job(call)
    body = await call.raw_body(MOST_BYTES)
    lines = [line for line in body.splitlines() if line.strip()]
    await call.refuse_secrets(["\n".join(texts_of(b"[" + b",".join(lines) + b"]"))])
    await call.rooms.streams.records.keep(job, body, is_dead=call.query(KeepQuery).is_dead)
    return empty_response()


async def _find_job(call: Call) -> StageJob:
    """The job that asks. Raises NotFoundError for one whose work is no stages."""
    assert call.caller.job is not None
    return await call.rooms.streams.jobs.find(call.caller.job)


async def _read(call: Call, kind: type[T]) -> T:
    """A body that only names what is there, and of which nothing is stored: nobody looks for secrets in it. Raises MalformedError."""
    raw = await call.raw_body(_MOST_SETTLE_BYTES)
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"the request's body is not what it should be: {error}") from None


_BASE = f"{V1}/stages"
OPERATIONS = (
    Operation(
        "POST",
        f"{_BASE}/bookmarks/take",
        Access.JOB,
        take_bookmark,
        body=TakeBookmark,
        answers={200: BookmarkView},
        problems=(404, 409, 422),
    ),
    Operation(
        "POST", f"{_BASE}/bookmarks/keep", Access.JOB, keep_bookmark, body=KeepBookmark, problems=(404, 409)
    ),
    Operation(
        "POST", f"{_BASE}/bookmarks/put", Access.JOB, put_bookmark, body=PutBookmark, problems=(404, 409)
    ),
    Operation(
        "POST", f"{_BASE}/bookmarks/free", Access.JOB, free_bookmark, body=FreeBookmark, problems=(404, 409)
    ),
    Operation(
        "GET",
        f"{_BASE}/bookmarks",
        Access.JOB,
        name_bookmarks,
        query=BookmarkQuery,
        answers={200: BookmarkNames},
        problems=(404,),
    ),
    Operation(
        "POST",
        f"{_BASE}/queue/take",
        Access.JOB,
        take_records,
        body=TakeRecords,
        answers={200: RecordsView},
        problems=(404,),
    ),
    Operation(
        "POST", f"{_BASE}/queue/settle", Access.JOB, settle_records, body=SettleRecords, problems=(404,)
    ),
    Operation("POST", f"{_BASE}/figures", Access.JOB, note_figures, body=FigureBody, problems=(404,)),
    Operation(
        "POST",
        f"{_BASE}/records",
        Access.JOB,
        keep_records,
        query=KeepQuery,
        body=ANY,
        problems=(404, 422, 429),
    ),
)
