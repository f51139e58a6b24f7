"""Visits of people to apps of jobs: let in by a link that is good once, then known by a cookie of the app's own origin.

    somebody who may --make_link--> a code, for a minute --enter, once--> a visit, known by its token, for half a day

Both are tokens as rows: kept as hashes, bound to one app, and no better than what they were made with: a visit is over as soon
as the session, or the personal token, is that asked for its link, and its person may no more than they may now.
"""

from dataclasses import dataclass

from agent.errors import RefusedError
from agent.server.events.changes import Changes
from agent.server.people.auth.access import Caller
from agent.server.people.auth.callers import find_caller
from agent.server.people.auth.tokens import APP_LINK, APP_VISIT, create_token, find_token, is_token
from agent.server.store import tokens
from agent.server.store.database import Connection
from agent.server.store.tokens import TokenRow

LINK_SECONDS = 60.0
VISIT_SECONDS = 12 * 3600.0

_KEPT_SECONDS = 86400.0  # rows of what is over


@dataclass(frozen=True, slots=True)
class KnownVisit:
    """Somebody at an app, named as `make_link` was told."""

    app: str
    caller: Caller


class AppVisits:
    """The links and visits of this installation. An app is a text that names it for good."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def make_link(self, caller: Caller, app: str, project: int) -> str:
        """A code for `caller`, who may use `app`, a job's of `project`."""
        async with self._changes.begin() as change:
            over = change.now - _KEPT_SECONDS
            await tokens.forget_over(change.connection, (APP_LINK, APP_VISIT), over)
            _, code = await create_token(
                change.connection,
                APP_LINK,
                now=change.now,
                name=app,
                uses=1,
                expires_seconds=LINK_SECONDS,
                user=caller.user,
                role=None if caller.cap is None else caller.cap.label,
                project=project,
                parent=caller.token,
            )
        return code

    async def enter(self, code: str, app: str) -> str:
        """Spend a code: the token of a visit to `app`. Raises RefusedError for one that is none, was used, or is another app's."""
        async with self._changes.begin() as change:
            row = await find_token(change.connection, APP_LINK, code, change.now)
            is_good = (
                row is not None
                and row.name == app
                and await _is_parent_good(change.connection, row, change.now)
            )
            if (
                row is None
                or not is_good
                or not await tokens.spend_token(change.connection, row.id, change.now)
            ):
                raise RefusedError(
                    "this link was used before, or its minute is over",
                    hint="open the app from its run's page again",
                )
            _, token = await create_token(
                change.connection,
                APP_VISIT,
                now=change.now,
                name=app,
                expires_seconds=VISIT_SECONDS,
                user=row.user,
                role=row.role,
                project=row.project,
                parent=row.parent,
            )
        return token

    async def find(self, token: str) -> KnownVisit | None:
        """The visit that `token` is; None for what is none, or over."""
        if not is_token(APP_VISIT, token):
            return None
        now = self._changes.clock.now()
        async with self._changes.database.read() as connection:
            row = await find_token(connection, APP_VISIT, token, now)
            if row is None or not await _is_parent_good(connection, row, now):
                return None
            known = await find_caller(connection, APP_VISIT, token, now)
        return None if known is None else KnownVisit(row.name, known.caller)


async def _is_parent_good(connection: Connection, row: TokenRow, now: float) -> bool:
    """Whether what the link was asked for with is still good, and what that was begun with."""
    parent = row.parent
    while parent is not None:
        found = await tokens.find_by_id(connection, parent)
        if found is None or found.is_over(now):
            return False
        parent = found.parent
    return True
