"""`/api/v1/jobs/JOB/attach`: may somebody talk to a program in a running job? The answer is a ticket for the websocket
`/api/v1/attach` (`agent.server.api.attach_socket`).
"""

from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.server.agents.attach_permits import make_ticket
from agent.server.events import audit
from agent.server.http.admission import address_of
from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.people.auth.tickets import TICKET_SECONDS
from agent.server.process.problems import TooLargeError
from agent.wire.messages import ATTACH_COMMAND_CHARACTERS

_Size = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class TerminalBody(msgspec.Struct, forbid_unknown_fields=True):
    """A terminal: its size, and its kind (`TERM`)."""

    rows: _Size
    columns: _Size
    kind: Annotated[str, msgspec.Meta(max_length=100)] = ""


class AttachBody(msgspec.Struct, forbid_unknown_fields=True):
    """What to run: nothing for a shell, one word for `sh -c`, or a program and its arguments; at a terminal, or with plain streams.

    `resume`: nothing is run, a job that is held after a failure goes on. `app`: nothing is run, the websocket is a
    connection to that app of the job; then the ticket is good for as many as come in its time.
    """

    command: list[str] = []
    terminal: TerminalBody | None = None
    resume: bool = False
    app: Annotated[str, msgspec.Meta(max_length=100)] = ""


class TicketView(msgspec.Struct):
    """`ticket` is the bearer token of the websocket at `path`, once (for an app: again and again), within `expires_seconds`."""

    session: str
    ticket: str
    path: str
    expires_seconds: int
    job: str
    agent: str


async def attach_job(call: Call) -> Response:
    """Ask for a shell, a command, or an app of a running job: a ticket for the websocket /api/v1/attach."""
    body = await call.body(AttachBody)
    if sum(map(len, body.command)) > ATTACH_COMMAND_CHARACTERS:
        raise TooLargeError(
            f"the command is longer than {ATTACH_COMMAND_CHARACTERS} characters",
            hint="attach without one, and send it as input",
        )
    job = await call.rooms.agents.permits.find(call.text("job"), call.caller, body.app)
    name, is_terminal = job.agent_name, body.terminal is not None
    audit.note(run=job.run, job=job.key, agent=name, command=body.command, terminal=is_terminal)
    ticket = make_ticket(
        job,
        call.caller,
        address_of(call.request),
        command=body.command,
        terminal=None if body.terminal is None else msgspec.to_builtins(body.terminal),
        is_resume=body.resume,
        app=body.app,
    )
    audit.note(session=ticket.session, resume=body.resume, **({"app": body.app} if body.app else {}))
    made = call.rooms.people.tickets.make(ticket)
    return view_response(TicketView(ticket.session, made, f"{V1}/attach", TICKET_SECONDS, job.key, name), 201)


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
