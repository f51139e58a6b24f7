"""Steering of a run that is there: run it again, let its jobs into environments or not."""

import msgspec
from starlette.responses import Response

from agent.plan.rerun import Again
from agent.server.api.run_starts import HoldMinutes
from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import LongPage, Next
from agent.server.runs.approval_reading import ApprovalView, GateView
from agent.server.runs.approvals import Word

_PATH = f"{V1}/runs/{{run:run}}"
_LONGEST_COMMENT = 2000


class RerunBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to run again: all, what failed, or `jobs` by key, each with what needs it."""

    jobs: list[str] = []
    failed: bool = False
    debug: bool = False
    hold_minutes: HoldMinutes = 0  # jobs that fail wait for so long for somebody to attach; 0: none does


class AttemptView(msgspec.Struct):
    """The attempt that has begun."""

    run: int
    attempt: int


class WordBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which jobs (by key or environment; none: all that wait), and why."""

    jobs: list[str] = []
    comment: str = ""


class WordView(msgspec.Struct):
    """The jobs that the word was about."""

    run: int
    jobs: list[str]


class ApprovalList(msgspec.Struct):
    """What waits, whole; and what was said, in parts, oldest first."""

    waiting: list[GateView]
    given: list[ApprovalView]
    next: Next


async def rerun_run(call: Call) -> Response:
    """Run it again: all of it, what failed, or some jobs."""
    run = call.number("run")
    body = await call.body(RerunBody)
    again = Again(
        jobs=tuple(body.jobs),
        only_failed=body.failed,
        is_debug=body.debug,
        hold_minutes=body.hold_minutes,
        actor=call.caller.name,
    )
    attempt = await call.rooms.runs.runs.rerun(run, again, call.caller)
    return view_response(AttemptView(run, attempt), 201)


async def approve_run(call: Call) -> Response:
    """Let jobs into their environments."""
    return await _decide(call, is_approved=True)


async def reject_run(call: Call) -> Response:
    """Do not let jobs into their environments: they fail."""
    return await _decide(call, is_approved=False)


async def list_approvals(call: Call) -> Response:
    """Jobs that wait for their environments, and what was said."""
    words = call.rooms.runs.words
    return view_response(ApprovalList(*await words.list_of(call.number("run"), call.query(LongPage))))


async def _decide(call: Call, *, is_approved: bool) -> Response:
    run = call.number("run")
    body = await call.body(WordBody)
    word = Word(is_approved, tuple(body.jobs), body.comment[:_LONGEST_COMMENT])
    keys = await call.rooms.runs.approvals.decide(run, word, call.caller, call.project)
    return view_response(WordView(run, keys))


OPERATIONS = (
    Operation("POST", f"{_PATH}/rerun", Access.RUNNER, rerun_run, body=RerunBody, answers={201: AttemptView}),
    Operation("POST", f"{_PATH}/approve", Access.RUNNER, approve_run, body=WordBody, answers={200: WordView}),
    Operation("POST", f"{_PATH}/reject", Access.RUNNER, reject_run, body=WordBody, answers={200: WordView}),
    Operation(
        "GET",
        f"{_PATH}/approvals",
        Access.VIEWER,
        list_approvals,
        query=LongPage,
        answers={200: ApprovalList},
    ),
)
