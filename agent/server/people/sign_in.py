"""Signing in: with a name and a password, or with a personal token."""

from agent.clock import Clock
from agent.server.events import audit
from agent.server.people.auth.callers import find_holder
from agent.server.people.auth.passwords import password_matches
from agent.server.people.auth.throttle import Throttle
from agent.server.people.auth.tokens import API
from agent.server.pools import Pool
from agent.server.process.client_groups import group_of
from agent.server.process.problems import TooManyError, UnauthorizedError
from agent.server.store import users
from agent.server.store.database import Database
from agent.server.store.tokens import TokenRow
from agent.server.store.users import UserRow

_LONGEST_NAME = 63


class SignIn:
    """Who may come in."""

    def __init__(self, database: Database, throttle: Throttle, passwords: Pool, clock: Clock) -> None:
        self._database = database
        self._throttle = throttle
        self._passwords = passwords
        self._clock = clock

    async def by_password(self, name: str, password: str, address: str, *, known: str = "") -> UserRow:
        """The user `name`, when the password is right.

        `known` names a browser or token that was let in under this name before: its guesses count for itself alone, so
        that strangers lock nobody out of an account. All others count at their address and at the name. Raises
        UnauthorizedError, in the same words and after the same work for a name that nobody has; TooManyError when there
        were too many guesses in this minute.
        """
        name = name.lower()
        clients = [f"known {known}"] if known else [f"sign-in {group_of(address)}", f"user {name}"]
        if not self._throttle.attempt(clients):
            raise TooManyError(
                "too many failed sign-ins",
                hint="try again in a minute, in a browser that was signed in before, or with a token",
            )
        audit.note(user=name[:_LONGEST_NAME])
        async with self._database.read() as connection:
            user = await users.find_by_name(connection, name)
        is_right = await self._passwords.run(password_matches, password, user.password if user else None)
        if user is None or not is_right or user.disabled_at is not None:
            raise UnauthorizedError(
                "the name or the password is not right", hint="ask an admin to set a new password"
            )
        self._throttle.forgive(clients)
        audit.say_who(user.name, user.id)
        return user

    async def by_token(self, token: str) -> tuple[UserRow, TokenRow]:
        """Whose good personal token this is, and what it is limited to. Raises UnauthorizedError."""
        async with self._database.read() as connection:
            holder = await find_holder(connection, API, token, self._clock.now())
        if holder is None:
            raise UnauthorizedError("the token is not known here, or is over", hint="make a new one")
        row, user = holder
        audit.say_who(user.name, user.id)
        audit.note(user=user.name, token=row.id)
        return user, row
