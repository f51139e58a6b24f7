"""Lists in parts: cursors, and what they promise while a list changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import UsageError
from agent.server.process.paging import MOST, Page, RowId, cut, next_cursor, part

NAMES = st.lists(st.text(max_size=8), unique=True, max_size=40)


def read_all(rows: list[str], limit: int, *, descending: bool = False) -> list[str]:
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        shown, cursor = part(rows, Page(limit=limit, cursor=cursor), str, str, descending=descending)
        assert len(shown) <= limit
        found += shown
    return found


@given(NAMES, st.integers(1, MOST), st.booleans())
def test_all_pages_together_are_the_list(rows: list[str], limit: int, descending: bool) -> None:
    assert read_all(rows, limit, descending=descending) == sorted(rows, reverse=descending)


@given(NAMES.filter(lambda rows: len(rows) > 2), st.data())
def test_a_row_that_goes_or_comes_meanwhile_hides_and_repeats_no_other(
    rows: list[str], data: st.DataObject
) -> None:
    first, cursor = part(rows, Page(limit=2), str, str)
    gone = data.draw(st.sampled_from(rows))
    changed = [*(row for row in rows if row != gone), "\U0010ffff" * 9]
    rest, _ = part(changed, Page(limit=MOST, cursor=cursor or ""), str, str)
    assert not set(first) & set(rest)
    assert set(first) | set(rest) >= set(rows) - {gone}


def test_a_key_of_several_parts_is_a_cursor_too() -> None:
    rows = [(1.5, "b"), (1.5, "a"), (0.5, "c")]
    shown, cursor = part(rows, Page(limit=2), lambda row: row, tuple[float, str])
    assert shown == [(0.5, "c"), (1.5, "a")]
    rest, end = part(rows, Page(limit=2, cursor=cursor or ""), lambda row: row, tuple[float, str])
    assert (rest, end) == ([(1.5, "b")], None)


def test_the_last_page_has_no_next() -> None:
    assert next_cursor([1, 2], 2, 2) is None
    assert next_cursor([1, 2, 3], 2, 2) == "Mg"
    assert cut([1, 2, 3], 2) == [1, 2]
    assert Page().after(RowId) is None
    assert Page(cursor="Mg").after(RowId) == 2


@pytest.mark.parametrize("cursor", ["LTE", "IngiIA", "%", "\u00e9", "A", "bnVsbA", "WzFd"])
def test_a_cursor_that_is_not_of_this_list_is_refused(cursor: str) -> None:
    with pytest.raises(UsageError, match="not one of ours"):
        Page(cursor=cursor).after(RowId)
