"""`/api/v1/registration-tokens`: what `agent register` spends."""

import json
from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError
from agent.server.auth.tokens import REGISTRATION, create_token
from agent.server.call import Call, empty_response, json_response
from agent.server.store import tokens
from agent.server.store.tokens import TokenRow
from agent.server.views import time_text


class TokenBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a new token may do. Without more it is good for one agent, for an hour."""

    name: str = ""
    uses: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = 1
    expires_seconds: Annotated[float, msgspec.Meta(ge=0, le=3.2e9)] | None = 3600.0
    labels: list[str] = []


async def create(call: Call) -> Response:
    """Make a token; the answer is the only place that shows it."""
    body = await call.body(TokenBody)
    async with call.services.changes.begin() as change:
        row, token = await create_token(
            change.connection,
            REGISTRATION,
            now=change.now,
            name=body.name,
            uses=body.uses,
            expires_seconds=body.expires_seconds,
            labels=body.labels,
        )
    return json_response({**token_json(row), "token": token}, 201)


async def list_all(call: Call) -> Response:
    """The tokens, without what would let anybody use them."""
    async with call.services.database.read() as connection:
        rows = await tokens.list_tokens(connection, REGISTRATION)
    return json_response({"registration_tokens": [token_json(row) for row in rows]})


async def revoke(call: Call) -> Response:
    """End a token."""
    async with call.services.changes.begin() as change:
        if not await tokens.revoke_token(change.connection, call.text("token"), REGISTRATION, change.now):
            raise NotFoundError("there is no such token, or it was revoked already")
    return empty_response()


def token_json(row: TokenRow) -> dict[str, object]:
    """A token as it may be shown."""
    return {
        "id": row.id,
        "name": row.name,
        "labels": json.loads(row.labels),
        "uses_left": row.uses_left,
        "created": time_text(row.created_at),
        "expires": time_text(row.expires_at),
        "revoked": time_text(row.revoked_at),
    }
