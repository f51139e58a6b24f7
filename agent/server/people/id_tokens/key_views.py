"""The published keys as the API shows them."""

import msgspec

from agent.server.process.moments import Moment, time_text
from agent.server.store.id_token_keys import IdTokenKeyRow


class KeyView(msgspec.Struct):
    """A key that is published; `published_until` of null: nobody has replaced it."""

    id: str
    created: Moment | None
    signs_from: Moment | None
    published_until: Moment | None


def view_key(row: IdTokenKeyRow) -> KeyView:
    """A key's row."""
    times = (time_text(at) for at in (row.created_at, row.signs_from, row.published_until))
    return KeyView(row.id, *times)
