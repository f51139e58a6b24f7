"""`/api/v1/id-token-keys`: the keys that sign the tokens with which jobs prove themselves to others, and their replacement."""

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.people.id_tokens.key_views import KeyView, view_key

_PATH = f"{V1}/id-token-keys"


class KeyList(msgspec.Struct):
    """All of them, and who signs with them."""

    issuer: str
    keys: list[KeyView]


class RotationBody(msgspec.Struct, forbid_unknown_fields=True):
    """`at_once`: the old keys are published no more, which ends what they have signed."""

    at_once: bool = False


async def show_keys(call: Call) -> Response:
    """The published keys, those first that have signed longest."""
    tokens = call.rooms.people.id_tokens
    return view_response(KeyList(tokens.url, [view_key(row) for row in await tokens.keys.list_published()]))


async def rotate_keys(call: Call) -> Response:
    """Replace the key that signs: a new one is published now and signs in an hour, or at once."""
    body, tokens = await call.body(RotationBody), call.rooms.people.id_tokens
    published = await tokens.keys.rotate(at_once=body.at_once)
    return view_response(KeyList(tokens.url, [view_key(row) for row in published]))


OPERATIONS = (
    Operation("GET", _PATH, Access.ORGANISATION, show_keys, answers={200: KeyList}),
    Operation(
        "POST",
        _PATH,
        Access.ORGANISATION,
        rotate_keys,
        body=RotationBody,
        answers={200: KeyList},
        problems=(409,),
    ),
)
