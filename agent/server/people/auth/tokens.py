"""Tokens of people and of machines that want to register: made, looked up by hash, spent."""

import json
import secrets
from collections.abc import Sequence

from agent.errors import RefusedError
from agent.ids import ENTROPY_BYTES, make_id
from agent.seal import tokens as seal_tokens
from agent.server.store import tokens
from agent.server.store.database import Connection
from agent.server.store.tokens import TokenRow

API, REGISTRATION, SESSION = "api", "registration", "session"
APP_LINK, APP_VISIT = "app-link", "app-visit"  # agent.server.people.app_visits
_PREFIXES = {
    API: "fa_api",
    REGISTRATION: "fa_reg",
    SESSION: "fa_ses",
    APP_LINK: "fa_lnk",
    APP_VISIT: "fa_app",
}


def is_token(kind: str, text: str) -> bool:
    """Whether `text` has the form of a token of `kind`; says nothing of whether it is a good one."""
    return text.startswith(f"{_PREFIXES[kind]}_")


async def create_token(
    connection: Connection,
    kind: str,
    *,
    now: float,
    name: str = "",
    uses: int | None = None,
    expires_seconds: float | None = None,
    labels: Sequence[str] = (),
    group: str = "",
    user: int | None = None,
    role: str | None = None,
    project: int | None = None,
    parent: str | None = None,
) -> tuple[TokenRow, str]:
    """A new token of `kind`: its row, and the token itself, which nobody can show a second time."""
    token = seal_tokens.new_token(_PREFIXES[kind], secrets.token_bytes(seal_tokens.ENTROPY_BYTES))
    row = TokenRow(
        id=make_id("token", secrets.token_bytes(ENTROPY_BYTES)),
        kind=kind,
        hash=seal_tokens.hash_token(token),
        name=name,
        labels=json.dumps(list(labels)),
        uses_left=uses,
        created_at=now,
        expires_at=None if expires_seconds is None else now + expires_seconds,
        revoked_at=None,
        user=user,
        role=role,
        project=project,
        group_name=group,
        parent=parent,
    )
    await tokens.add_token(connection, row)
    return row, token


async def find_token(connection: Connection, kind: str, token: str, now: float) -> TokenRow | None:
    """The good token of `kind` that `token` is, or None.

    It is found by its hash, so the time that the search takes tells about a hash at most; the comparison that
    decides takes constant time.
    """
    row = await tokens.find_token(connection, seal_tokens.hash_token(token))
    if row is None or row.kind != kind or not seal_tokens.token_matches(token, row.hash):
        return None
    return None if row.is_over(now) else row


async def spend_registration_token(connection: Connection, token: str, now: float) -> TokenRow:
    """Use a registration token once. Raises RefusedError when it is unknown, used up, expired or revoked."""
    row = await tokens.find_token(connection, seal_tokens.hash_token(token))
    known = row is not None and row.kind == REGISTRATION and seal_tokens.token_matches(token, row.hash)
    if row is None or not known:
        raise RefusedError(
            "the registration token is not known here", hint="make one: agent server token create"
        )
    if await tokens.spend_token(connection, row.id, now):
        return row
    if row.revoked_at is not None:
        reason = "was revoked"
    elif row.expires_at is not None and row.expires_at <= now:
        reason = "has expired"
    else:
        reason = "is used up"
    raise RefusedError(f"the registration token {reason}", hint="make a new one: agent server token create")
