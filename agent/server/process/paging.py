"""Lists in parts: `limit` entries, and an opaque `cursor` that says behind which entry the next part begins.

A cursor is the sort key of the last entry shown, so a list that changes meanwhile shows nothing twice.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import msgspec

from agent.errors import UsageError

K = TypeVar("K")
T = TypeVar("T")
MOST = 200

RowId = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]  # the key of lists that are sorted by it
Limit = Annotated[int, msgspec.Meta(ge=1, le=MOST, description="how many entries at most")]
Cursor = Annotated[str, msgspec.Meta(max_length=1000, description="`next` of the answer before")]
Next = Annotated[str | None, msgspec.Meta(description="the `cursor` of the next part; null: that was all")]


class Page(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which part of a list. Queries of lists inherit from it and add their filters."""

    limit: Limit = 50
    cursor: Cursor = ""

    def after(self, kind: type[K]) -> K | None:
        """The sort key behind which the part begins; None: at the start. Raises UsageError for a cursor not of ours."""
        if not self.cursor:
            return None
        try:
            text = base64.urlsafe_b64decode(self.cursor.encode("ascii") + b"=" * (-len(self.cursor) % 4))
            return msgspec.json.decode(text, type=kind)
        except (ValueError, msgspec.DecodeError):
            raise UsageError(
                "the cursor is not one of ours", hint="take `next` of the answer before"
            ) from None


class LongPage(Page):
    """Which part of a list that people set up by hand: nearly always all of it."""

    limit: Limit = MOST


def cut(found: Sequence[T], limit: int) -> Sequence[T]:
    """The part to show of `limit` + 1 entries that were asked for."""
    return found[:limit]


def next_cursor(found: Sequence[T], limit: int, key: object) -> str | None:
    """The cursor behind `key`, the sort key of the last entry shown, when more than `limit` were found."""
    if len(found) <= limit:
        return None
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).rstrip(b"=").decode()


def part(
    rows: Sequence[T], page: Page, key: Callable[[T], K], kind: type[K], *, descending: bool = False
) -> tuple[list[T], str | None]:
    """The page of a list that is read whole anyway (one that grows with the fleet, not with its runs), and `next`.

    `key` tells the rows apart and orders them; `kind` is its type. Raises UsageError for a cursor not of ours.
    """
    ordered = sorted(rows, key=key, reverse=descending)  # type: ignore[arg-type]  # keys are numbers and texts
    after = page.after(kind)
    if after is not None:
        ordered = [row for row in ordered if (key(row) < after if descending else key(row) > after)]  # type: ignore[operator]
    shown = ordered[: page.limit]
    return shown, next_cursor(ordered, page.limit, key(shown[-1]) if shown else None)
