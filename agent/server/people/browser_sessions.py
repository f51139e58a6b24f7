"""Sessions of browsers as rows: begun at a sign-in, ended at a sign-out. Their cookies are `auth.sessions`'."""

from agent.seal.tokens import hash_token
from agent.server.events.changes import Change, Changes
from agent.server.people.auth.access import Caller
from agent.server.people.auth.oidc import OidcIdentity, OidcSettings
from agent.server.people.auth.sessions import SESSION_SECONDS
from agent.server.people.auth.tokens import SESSION, create_token
from agent.server.people.provided_accounts import admit_provided
from agent.server.store import tokens
from agent.server.store.tokens import TokenRow
from agent.server.store.users import UserRow


class BrowserSessions:
    """Each call is one transaction. `older` is the session that the browser had (empty: none), whosever it was: it is over."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def begin(self, user: UserRow, older: str, by: TokenRow | None = None) -> str:
        """A fresh session for `user`: what its cookie holds.

        One that was begun `by` a personal token may do what the token may, and ends with it.
        """
        async with self._changes.begin() as change:
            return await _begin(change, user, older, by)

    async def begin_provided(self, settings: OidcSettings, identity: OidcIdentity, older: str) -> str:
        """A fresh session for whose account this is at the provider. Raises RefusedError for who is disabled."""
        async with self._changes.begin() as change:
            user = await admit_provided(change, settings, identity)
            return await _begin(change, user, older, None)

    async def end(self, caller: Caller) -> None:
        """The session that the caller shows is over."""
        async with self._changes.begin() as change:
            await tokens.revoke_token(change.connection, caller.token, SESSION, change.now, caller.user)


async def _begin(change: Change, user: UserRow, older: str, by: TokenRow | None) -> str:
    if older:
        await tokens.revoke_hash(change.connection, hash_token(older), SESSION, change.now)
    _, token = await create_token(
        change.connection,
        SESSION,
        now=change.now,
        name="browser",
        expires_seconds=_lifetime(by, change.now),
        user=user.id,
        role=by.role if by else None,
        project=by.project if by else None,
        parent=by.id if by else None,
    )
    return token


def _lifetime(by: TokenRow | None, now: float) -> float:
    """How long a session lasts, in seconds."""
    until = None if by is None else by.expires_at
    return SESSION_SECONDS if until is None else min(SESSION_SECONDS, until - now)
