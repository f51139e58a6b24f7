"""`/api/v1/attach`: the websocket of somebody who is attached to a job. The bearer token is a ticket (`agent.server.people.auth.tickets`).

    viewer -> server   binary: input        text: {"kind": "resize", "rows": N, "columns": N} | {"kind": "end"}
    server -> viewer   binary: the stream's number (1, 2), then output
                       text: {"kind": "opened"} | {"kind": "ended", "exit_code": N or null, "message": TEXT, "hint": TEXT}

When another server holds the agent's connection, this one passes the websocket on to it as it is, ticket and all: that
server lets in, or not, by itself.
"""

import asyncio
import json
from contextlib import suppress
from time import monotonic
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from agent.errors import AgentError, RefusedError
from agent.server.agents.attachments import ViewerSession, cut, make_attach
from agent.server.events import audit
from agent.server.http.connection_limits import prove
from agent.server.http.relay import HEADER, relay
from agent.server.http.rooms import Rooms
from agent.server.people.auth.tickets import Ticket
from agent.server.process.client_groups import group_of
from agent.server.process.problems import ConflictError
from agent.wire import messages as m

_POLICY_VIOLATION = 1008
_TRY_AGAIN_LATER = 1013


async def connect_viewer(websocket: WebSocket) -> None:
    """Run one session. Browsers are turned away: the command line sends no `Origin`."""
    rooms: Rooms = websocket.app.state.rooms
    if rooms.bus.is_closing:
        await websocket.close(_TRY_AGAIN_LATER)
        return
    try:
        ticket = _read_ticket(websocket, rooms)
    except RefusedError:
        rooms.people.throttle.count_failure(group_of(websocket.client.host if websocket.client else ""))
        await websocket.close(_POLICY_VIOLATION)
        return
    prove(websocket.scope)
    await websocket.accept()
    ending: dict[str, Any] = {"exit_code": None, "message": "the server has failed", "hint": ""}
    try:
        ending = await _run(websocket, rooms, ticket)
    except AgentError as error:
        ending |= {"message": str(error).removesuffix(f"; {error.hint}"), "hint": error.hint}
    except (WebSocketDisconnect, OSError):
        return
    finally:
        await _say_end(websocket, ending)


def _read_ticket(websocket: WebSocket, rooms: Rooms) -> Ticket:
    scheme, _, text = websocket.headers.get("authorization", "").partition(" ")
    if "origin" in websocket.headers or scheme.lower() != "bearer":
        raise RefusedError("a ticket is needed")
    return rooms.people.tickets.read(text.strip())


async def _run(websocket: WebSocket, rooms: Rooms, ticket: Ticket) -> dict[str, Any]:
    """The session here, or at the server that holds the agent's connection; how it ended. Raises AgentError."""
    holder = await rooms.agents.permits.find_holder(ticket)
    if holder:
        if HEADER in websocket.headers:
            raise ConflictError("the agent has moved to another server just now", hint="attach again")
        return await relay(websocket, holder, ticket.agent_name)
    rooms.people.tickets.spend(ticket)
    sessions = rooms.agents.hub.sessions_of(ticket.agent)
    if sessions is None:
        raise ConflictError(f"the agent {ticket.agent_name} is just connecting", hint="attach again")
    attachment = sessions.open(make_attach(ticket), ticket.agent_name)
    started = monotonic()
    ending: dict[str, Any] = {"exit_code": None, "message": "hung up", "hint": ""}
    try:
        ending |= await _converse(websocket, attachment)
    finally:
        attachment.leave()
        sessions.close(attachment.asked.session)
        if (
            not ticket.app
        ):  # each connection of a browser is no news: the row of the ticket's call says who uses it
            await asyncio.shield(_write_down(rooms, ticket, monotonic() - started, ending))
    return ending


async def _converse(websocket: WebSocket, attachment: ViewerSession) -> dict[str, Any]:
    """Until the agent says that it is over, or the viewer has gone; how it ended, when it has."""
    showing = asyncio.ensure_future(_show(websocket, attachment))
    reading = asyncio.ensure_future(_read(websocket, attachment))
    try:
        await asyncio.wait({showing, reading}, return_when=asyncio.FIRST_COMPLETED)
        if showing.done():
            return showing.result()
        reading.result()
        return {}
    finally:
        for task in (showing, reading):
            task.cancel()
        await asyncio.wait({showing, reading})


async def _show(websocket: WebSocket, attachment: ViewerSession) -> dict[str, Any]:
    while True:
        match await attachment.receive():
            case m.AttachOpened():
                await websocket.send_text('{"kind": "opened"}')
            case m.AttachOutput(stream=stream, data=data):
                await websocket.send_bytes(bytes([stream]) + data)
                attachment.took()
            case m.AttachEnded(exit_code=code, message=message):
                return {"exit_code": code, "message": message}


async def _read(websocket: WebSocket, attachment: ViewerSession) -> None:
    """Returns when the viewer has gone, or makes no sense."""
    while (message := await websocket.receive())["type"] == "websocket.receive":
        data = message.get("bytes")
        if data is not None:
            for piece in cut(data, attachment.frame_bytes):
                await attachment.send(m.AttachInput("", piece))
            continue
        wanted = _read_control(message["text"])
        if wanted is None:
            return
        await attachment.send(wanted)


def _read_control(text: str) -> m.AttachInput | None:
    try:
        match json.loads(text):
            case {"kind": "end"}:
                return m.AttachInput("", is_end=True)
            case {"kind": "resize", "rows": int(rows), "columns": int(columns)} if (
                0 < rows < 1 << 16 and 0 < columns < 1 << 16
            ):
                return m.AttachInput("", rows=rows, columns=columns)
    except (ValueError, RecursionError):
        pass
    return None


async def _say_end(websocket: WebSocket, ending: dict[str, Any]) -> None:
    states = (websocket.client_state, websocket.application_state)
    if states == (WebSocketState.CONNECTED, WebSocketState.CONNECTED):
        with suppress(WebSocketDisconnect, OSError, RuntimeError):  # it has just gone
            await websocket.send_text(json.dumps({"kind": "ended", **ending}))
            await websocket.close()


async def _write_down(rooms: Rooms, ticket: Ticket, seconds: float, ending: dict[str, Any]) -> None:
    """The end of a session in the audit log; its beginning is the row of the call that gave the ticket."""
    entry = audit.AuditedCall(
        "attachment ended",
        f"/api/v1/jobs/{ticket.job}/attach",
        ticket.address,
        actor=ticket.name,
        user=ticket.user,
        token=ticket.token,
        project=ticket.project,
        notes={
            "run": ticket.run,
            "session": ticket.session,
            "seconds": round(seconds),
            "exit_code": ending["exit_code"],
            "message": ending["message"],
        },
    )
    await rooms.changes.write_down(entry)
