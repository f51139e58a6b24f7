"""agent/seal/canonical.py: what is signed can be read in one way only."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.seal.canonical import encode_fields

FIELDS = st.lists(st.text(max_size=6) | st.binary(max_size=6) | st.integers(), max_size=4)


def decode_fields(encoded: bytes) -> list[str | bytes | int]:
    """The inverse: that there is one is what makes the encoding injective."""
    fields: list[str | bytes | int] = []
    while encoded:
        kind, size = encoded[:1], int.from_bytes(encoded[1:9], "big")
        content, encoded = encoded[9 : 9 + size], encoded[9 + size :]
        assert len(content) == size
        fields.append({b"s": bytes.decode, b"b": bytes, b"i": int}[kind](content))
    return fields


@given(st.text(max_size=6), FIELDS)
def test_the_fields_can_be_read_back(domain: str, fields: list):
    assert decode_fields(encode_fields(domain, *fields)) == [domain, *fields]


@given(FIELDS, FIELDS)
@example(["a", "bc"], ["ab", "c"])
@example(["1"], [1])
@example(["a"], [b"a"])
@example(["a"], ["a", ""])
@example([], [""])
def test_other_fields_are_other_bytes(one: list, other: list):
    is_same = [(type(field), field) for field in one] == [(type(field), field) for field in other]
    assert (encode_fields("d", *one) == encode_fields("d", *other)) == is_same


def test_the_bytes_are_fixed_for_all_versions():
    assert encode_fields("d", "é", b"\x00", -7).hex() == (
        "73000000000000000164730000000000000002c3a9620000000000000001006900000000000000022d37"
    )


def test_a_text_that_is_none_is_refused():
    with pytest.raises(UnicodeEncodeError):
        encode_fields("d", "\ud800")
