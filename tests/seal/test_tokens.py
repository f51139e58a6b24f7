"""agent/seal/tokens.py: tokens are whole, known by their prefix, and compared in constant time."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.seal.tokens import hash_token, new_token, token_matches

ENTROPY = st.binary(min_size=32, max_size=32)


@given(ENTROPY)
def test_a_token_has_its_prefix_and_43_letters_and_digits(entropy: bytes):
    assert re.fullmatch(r"fa_reg_[0-9A-Za-z]{43}", new_token("fa_reg", entropy))


@given(ENTROPY, ENTROPY)
def test_other_entropy_is_another_token(one: bytes, other: bytes):
    assert (new_token("fa", one) == new_token("fa", other)) == (one == other)


def test_all_of_the_entropy_is_in_the_token():
    assert new_token("fa", bytes(32)) == "fa_" + "0" * 43
    assert new_token("fa", b"\xff" * 32)[3:] > new_token("fa", b"\xff" * 31 + b"\xfe")[3:]


@pytest.mark.parametrize("size", [0, 31, 33])
def test_less_entropy_is_refused(size: int):
    with pytest.raises(ValueError, match="32 bytes of entropy"):
        new_token("fa", bytes(size))


@given(st.text())
def test_a_token_matches_its_own_hash_only(token: str):
    assert token_matches(token, hash_token(token))
    assert not token_matches(token + "x", hash_token(token))
    assert not token_matches(token, hash_token(token).upper() + "x")


@pytest.mark.parametrize("stored", ["", "é", "\ud800", "0" * 64])
def test_a_stored_hash_that_is_none_matches_nothing(stored: str):
    assert not token_matches("fa_reg_x", stored)


def test_the_hash_is_sha256_in_hex():
    assert hash_token("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
