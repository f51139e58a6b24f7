"""Callers, from what a request shows to who it is: users through tokens and sessions, jobs through their runtime tokens."""

from dataclasses import dataclass

from agent.errors import RefusedError
from agent.server.people.auth.access import Caller
from agent.server.people.auth.roles import Role, read_role
from agent.server.people.auth.runtime import JOB, JobIdentity, RuntimeTokens
from agent.server.people.auth.tokens import SESSION, find_token
from agent.server.process.problems import UnauthorizedError
from agent.server.store import jobs, tokens, users
from agent.server.store.database import Connection
from agent.server.store.tokens import TokenRow
from agent.server.store.users import UserRow
from agent.spec.status import ACTIVE

_TOUCH_SECONDS = 600.0  # so exact is `last used`: not every request writes


@dataclass(frozen=True, slots=True)
class Known:
    """A user that was recognised. `is_worth_noting`: the token's last use is to be written down again."""

    caller: Caller
    is_worth_noting: bool


async def find_holder(
    connection: Connection, kind: str, token: str, now: float
) -> tuple[TokenRow, UserRow] | None:
    """The good token of `kind` that `token` is, and the user whose it is; None when either is not good any more."""
    row = await find_token(connection, kind, token, now)
    user = None if row is None or row.user is None else await users.find_user(connection, row.user)
    return None if row is None or user is None or user.disabled_at is not None else (row, user)


async def find_caller(connection: Connection, kind: str, token: str, now: float) -> Known | None:
    """The user whose good token of `kind` (`api`, `session`) this is; None for everything else."""
    holder = await find_holder(connection, kind, token, now)
    if holder is None:
        return None
    row, user = holder
    shown = row if row.parent is None else await tokens.find_by_id(connection, row.parent)
    until = None if shown is None or shown.kind == SESSION else shown.expires_at
    caller = make_caller(row, user, await users.roles_of(connection, user.id), until)
    return Known(caller, row.last_used_at is None or now - row.last_used_at >= _TOUCH_SECONDS)


def make_caller(
    token: TokenRow, user: UserRow, memberships: dict[int, str], until: float | None = None
) -> Caller:
    """The rights of `user` (their roles by project), less what the token is limited to.

    `until` is when the personal token ends that was shown, or that the browser was signed in with; the end of a
    session alone limits nobody: its user can sign in again.
    """
    cap = Role.ADMIN if token.role is None else read_role(token.role)
    roles = {project: min(read_role(role), cap) for project, role in memberships.items()}
    everywhere = cap if user.is_admin else None
    if token.project is not None:
        own = everywhere or roles.get(token.project)
        roles, everywhere = {} if own is None else {token.project: own}, None
    return Caller(
        token=token.id,
        user=user.id,
        name=user.name,
        is_organisation_admin=everywhere is Role.ADMIN,
        everywhere=everywhere,
        roles=roles,
        cap=None if token.role is None else cap,
        only_project=token.project,
        until=until,
    )


async def find_running_job(
    connection: Connection, runtime_tokens: RuntimeTokens, token: str, audience: str = JOB
) -> JobIdentity:
    """The job whose token for `audience` this is, when that job still runs under the lease that it names.

    Raises UnauthorizedError.
    """
    try:
        identity = runtime_tokens.read(token, audience)
    except RefusedError as error:
        raise UnauthorizedError(error.what) from None
    row = await jobs.find_job(connection, identity.job)
    if row is None or row.run != identity.run or row.lease != identity.lease or row.status not in ACTIVE:
        raise UnauthorizedError("the job of this token has ended, or runs under another lease")
    return identity
