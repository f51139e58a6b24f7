"""Starters: people who start a flow by hand. Whoever may start runs may, and where the flow asks for a role, who has that one."""

from agent.errors import RefusedError
from agent.flow.model import Flow, TriggerKind
from agent.server.people.auth.access import Caller
from agent.server.people.auth.roles import read_role
from agent.server.store import projects
from agent.server.store.database import Connection


async def check_starter(connection: Connection, flow: Flow, project: int, by: Caller | None) -> None:
    """Raises RefusedError when `by` has not the role in the project that the flow asks of who starts it; None starts it by itself."""
    trigger = flow.trigger_of(TriggerKind.BY_HAND)
    if by is None or trigger is None or not trigger.role:
        return
    needed, role = read_role(trigger.role), by.role_in(project)
    if role is not None and role >= needed:
        return
    row = await projects.find_project(connection, project)
    assert row is not None
    raise RefusedError(
        f"'{flow.title}' is started by who has the role {needed.label} in project '{row.name}'; you are "
        + (role.label if role else "nobody there"),
        where=str(trigger.position),
        hint="ask an admin of the project; a token may also be limited to less than its user",
    )
