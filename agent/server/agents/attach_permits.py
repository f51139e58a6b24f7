"""Permits to attach to jobs, or to use their apps: who gets one for which, and where the job is. A permit becomes a ticket
(`agent.server.people.auth.tickets`).
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.errors import NotFoundError, RefusedError
from agent.ids import ENTROPY_BYTES, make_id
from agent.server.agents.peers import Peers
from agent.server.people.auth.access import Caller
from agent.server.people.auth.roles import Role
from agent.server.people.auth.tickets import Ticket
from agent.server.process.problems import ConflictError
from agent.server.store import agents, deliveries, jobs, runs
from agent.server.store.apps import read_apps
from agent.server.store.database import Connection, Database
from agent.server.store.jobs import JobRow
from agent.spec.status import ACTIVE, JobStatus


@dataclass(frozen=True, slots=True)
class AttachableJob:
    """A job that an agent holds."""

    id: str
    key: str
    run: int
    project: int
    lease: int
    agent: str
    agent_name: str


class AttachPermits:
    """Lets people in, or not. `allows_attach`, `allows_apps`: whether the operator lets anybody attach, or use apps, at all."""

    def __init__(self, database: Database, peers: Peers, *, allows_attach: bool, allows_apps: bool) -> None:
        self._database = database
        self._peers = peers
        self._allows_attach = allows_attach
        self._allows_apps = allows_apps

    async def find(self, job: str, caller: Caller, app: str = "") -> AttachableJob:
        """The job that the caller may attach to, or whose `app` they may use.

        Raises NotFoundError; ConflictError for a job that has not begun or has ended; RefusedError.
        """
        async with self._database.read() as connection:
            row = await _find(connection, job)
            self._check_allowed(app)
            if app and all(app != known.name for known in read_apps(row.apps)):
                raise NotFoundError(f"the job {row.key} has no app '{app}'")
            await _check_rights(connection, caller, row)
            names = await agents.names_of(connection, [row.agent])
        agent = row.agent or ""
        return AttachableJob(row.id, row.key, row.run, row.project, row.lease, agent, names.get(agent, agent))

    def _check_allowed(self, app: str) -> None:
        if app and not self._allows_apps:
            raise RefusedError(
                "this server lets nobody use apps of jobs",
                hint="its operator can change that: AGENT_APPS_URL",
            )
        if not app and not self._allows_attach:
            raise RefusedError(
                "this server lets nobody attach to jobs", hint="its operator can change that: AGENT_ATTACH"
            )

    async def find_holder(self, ticket: Ticket) -> str:
        """Where the server that holds the connection of the ticket's agent is reached; empty for this one.

        Raises ConflictError when the job has ended meanwhile, or no server holds it.
        """
        async with self._database.read() as connection:
            row = await jobs.find_job(connection, ticket.job)
            holder = await self._peers.find_holder(connection, ticket.agent)
        if row is None or row.lease != ticket.lease or row.status not in ACTIVE:
            raise ConflictError("the job has ended")
        if holder is None:
            raise ConflictError(
                f"the agent {ticket.agent_name} is not connected now",
                hint="the job goes on; try again later",
            )
        return holder


def make_ticket(
    job: AttachableJob,
    caller: Caller,
    address: str,
    *,
    command: Sequence[str] = (),
    terminal: dict[str, Any] | None = None,
    is_resume: bool = False,
    app: str = "",
) -> Ticket:
    """A ticket for who has a permit."""
    return Ticket(
        session=make_id("attach", secrets.token_bytes(ENTROPY_BYTES)),
        job=job.id,
        lease=job.lease,
        run=job.run,
        project=job.project,
        agent=job.agent,
        agent_name=job.agent_name,
        name=caller.name,
        user=caller.user,
        token=caller.token,
        address=address,
        command=list(command),
        terminal=terminal,
        is_resume=is_resume,
        app=app,
    )


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


async def _check_rights(connection: Connection, caller: Caller, row: JobRow) -> None:
    """A maintainer, or who has started the run by hand; with a stranger's code only an admin. Raises RefusedError."""
    role = caller.role_in(row.project) or Role.VIEWER
    origin = await deliveries.find_origin(connection, row.run)
    if origin is not None and not origin.is_trusted and role < Role.ADMIN:
        raise RefusedError(
            "the run is of code from outside: only an admin of the project may attach to it, or use its apps",
            hint="what runs there may lie in wait for whoever looks",
        )
    run = await runs.find_run(connection, row.run)
    is_starter = run is not None and origin is None and run.actor == caller.name
    if role < Role.MAINTAINER and not is_starter:
        raise RefusedError(
            "to attach to a job, or to use its apps, needs the role maintainer, or to have started its run by hand",
            hint="who is attached, or works in a notebook of it, can read the job's secrets",
        )
