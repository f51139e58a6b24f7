"""`/api/v1/jobs/JOB/attach`: may somebody talk to a program in a running job? The answer is a ticket for the websocket
`/api/v1/attach` (`agent.server.api.attach_socket`).
"""

import secrets
from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError, RefusedError
from agent.ids import ENTROPY_BYTES, make_id
from agent.server.events import audit
from agent.server.http.admission import address_of
from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.people.auth.roles import Role
from agent.server.people.auth.tickets import TICKET_SECONDS, Ticket
from agent.server.process.problems import ConflictError, TooLargeError
from agent.server.store import agents, deliveries, jobs, runs
from agent.server.store.database import Connection
from agent.server.store.jobs import JobRow
from agent.spec.status import ACTIVE, JobStatus
from agent.wire.messages import ATTACH_COMMAND_CHARACTERS

_Size = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class TerminalBody(msgspec.Struct, forbid_unknown_fields=True):
    """A terminal: its size, and its kind (`TERM`)."""

    rows: _Size
    columns: _Size
    kind: Annotated[str, msgspec.Meta(max_length=100)] = ""


class AttachBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to run: nothing for a shell, one word for `sh -c`, or a program and its arguments; at a terminal, or with plain streams.

    `resume`: nothing is run, a job that is held after a failure goes on.
    """

    command: list[str] = []
    terminal: TerminalBody | None = None
    resume: bool = False


class TicketView(msgspec.Struct):
    """`ticket` is the bearer token of the websocket at `path`, once, within `expires_seconds`."""

    session: str
    ticket: str
    path: str
    expires_seconds: int
    job: str
    agent: str


async def attach_job(call: Call) -> Response:
    """Ask for a shell, or a command, in a running job: a ticket for the websocket /api/v1/attach."""
    body = await call.body(AttachBody)
    if sum(map(len, body.command)) > ATTACH_COMMAND_CHARACTERS:
        raise TooLargeError(
            f"the command is longer than {ATTACH_COMMAND_CHARACTERS} characters",
            hint="attach without one, and send it as input",
        )
    async with call.rooms.database.read() as connection:
        row = await _find(connection, call.text("job"))
        await _check_rights(connection, call, row)
        names = await agents.names_of(connection, [row.agent])
    name = names.get(row.agent or "", row.agent or "")
    audit.note(run=row.run, job=row.key, agent=name, command=body.command, terminal=body.terminal is not None)
    ticket = Ticket(
        session=make_id("attach", secrets.token_bytes(ENTROPY_BYTES)),
        job=row.id,
        lease=row.lease,
        run=row.run,
        project=row.project,
        agent=row.agent or "",
        agent_name=name,
        name=call.caller.name,
        user=call.caller.user,
        token=call.caller.token,
        address=address_of(call.request),
        command=body.command,
        terminal=None if body.terminal is None else msgspec.to_builtins(body.terminal),
        is_resume=body.resume,
    )
    audit.note(session=ticket.session, resume=body.resume)
    made = call.rooms.people.tickets.make(ticket)
    return view_response(TicketView(ticket.session, made, f"{V1}/attach", TICKET_SECONDS, row.key, name), 201)


async def _find(connection: Connection, job: str) -> JobRow:
    row = await jobs.find_job(connection, job)
    if row is None:
        raise NotFoundError(f"there is no job {job}")
    if row.status is JobStatus.COMPLETED:
        raise ConflictError(
            f"the job {row.key} has ended",
            hint="`agent run rerun --hold-on-failure 30m` holds it when it fails",
        )
    if row.status not in ACTIVE:
        raise ConflictError(f"the job {row.key} has not begun", hint=row.waiting)
    return row


async def _check_rights(connection: Connection, call: Call, row: JobRow) -> None:
    """A maintainer, or who has started the run by hand; with a stranger's code only an admin. Raises RefusedError."""
    if not call.rooms.agents.allow_attach:
        raise RefusedError(
            "this server lets nobody attach to jobs", hint="its operator can change that: AGENT_ATTACH"
        )
    role = call.caller.role_in(row.project) or Role.VIEWER
    origin = await deliveries.find_origin(connection, row.run)
    if origin is not None and not origin.is_trusted and role < Role.ADMIN:
        raise RefusedError(
            "the run is of code from outside: only an admin of the project may attach to it",
            hint="what runs there may lie in wait for whoever looks",
        )
    run = await runs.find_run(connection, row.run)
    is_starter = run is not None and origin is None and run.actor == call.caller.name
    if role < Role.MAINTAINER and not is_starter:
        raise RefusedError(
            "to attach to a job needs the role maintainer, or to have started its run by hand",
            hint="who is attached can read the job's secrets",
        )


OPERATIONS = (
    Operation(
        "POST",
        f"{V1}/jobs/{{job}}/attach",
        Access.RUNNER,
        attach_job,
        body=AttachBody,
        answers={201: TicketView},
        problems=(409, 413),
    ),
)
