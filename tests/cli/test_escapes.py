"""The way out of an attached terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.run.escapes import Escapes


def feed(*pieces: bytes) -> tuple[bytes, bool]:
    escapes = Escapes()
    passed = b"".join(escapes.feed(piece) for piece in pieces)
    return passed, escapes.is_leaving


@pytest.mark.parametrize(
    ("typed", "passed", "leaves"),
    [
        (b"~.", b"", True),
        (b"ls\r~.rm -rf /\r", b"ls\r", True),
        (b"ls\n~.", b"ls\n", True),
        (b"ls ~.", b"ls ~.", False),
        (b"\r~~.\r", b"\r~.\r", False),
        (b"~/bin/tool\r", b"~/bin/tool\r", False),
        (b"\r~", b"\r", False),
        (b"\r~\r~.", b"\r~\r", True),
    ],
)
def test_enter_tilde_dot_leaves_and_nothing_else_does(typed: bytes, passed: bytes, leaves: bool) -> None:
    assert feed(typed) == (passed, leaves)
    assert feed(*(bytes([byte]) for byte in typed)) == (passed, leaves)


@given(st.lists(st.binary()))
def test_what_has_no_tilde_passes_as_it_is(pieces: list[bytes]) -> None:
    whole = [piece.replace(b"~", b"") for piece in pieces]
    assert feed(*whole) == (b"".join(whole), False)


@given(st.lists(st.text(alphabet="~.\ra").map(str.encode)))
def test_however_it_is_cut_it_means_the_same(pieces: list[bytes]) -> None:
    assert feed(*pieces) == feed(b"".join(pieces))
