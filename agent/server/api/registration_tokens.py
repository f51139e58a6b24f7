"""`/api/v1/registration-tokens`: what `agent register` spends."""

from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.people.registration_tokens import (
    NewRegistrationToken,
    RegistrationTerms,
    RegistrationToken,
)
from agent.server.process.paging import Next, Page


class RegistrationTokenBody(msgspec.Struct, forbid_unknown_fields=True):
    """What a new token may do. Without more it is good for one agent, for an hour.

    Its agents get the labels; where a group is named they are in it, where a project is, they work for no other.
    """

    name: str = ""
    uses: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = 1
    expires_seconds: Annotated[float, msgspec.Meta(ge=0, le=3.2e9)] | None = 3600.0
    labels: list[str] = []
    group: str = ""
    project: str | None = None


class RegistrationTokenList(msgspec.Struct):
    """All tokens."""

    registration_tokens: list[RegistrationToken]
    next: Next


async def create_token(call: Call) -> Response:
    """Make a token; the answer is the only place that shows it."""
    body = await call.body(RegistrationTokenBody)
    terms = RegistrationTerms(**msgspec.structs.asdict(body))
    made = await call.rooms.people.registration_tokens.make(terms, call.caller.user)
    return view_response(made, 201)


async def list_tokens(call: Call) -> Response:
    """The tokens, without what would let anybody use them."""
    tokens = call.rooms.people.registration_tokens
    return view_response(RegistrationTokenList(*await tokens.list_tokens(call.query(Page))))


async def revoke_token(call: Call) -> Response:
    """End a token."""
    await call.rooms.people.registration_tokens.revoke(call.text("token"))
    return empty_response()


_PATH = f"{V1}/registration-tokens"
OPERATIONS = (
    Operation(
        "POST",
        _PATH,
        Access.ORGANISATION,
        create_token,
        body=RegistrationTokenBody,
        answers={201: NewRegistrationToken},
        problems=(404,),
    ),
    Operation(
        "GET", _PATH, Access.ORGANISATION, list_tokens, query=Page, answers={200: RegistrationTokenList}
    ),
    Operation("DELETE", f"{_PATH}/{{token}}", Access.ORGANISATION, revoke_token),
)
