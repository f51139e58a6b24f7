"""No line of a secret's base64 can be read, whatever stands before the secret and wherever its lines end."""

import base64
import random
import subprocess

import pytest

from agent.job.output.masking import Masker, MaskStream
from agent.job.output.wrapped_base64 import MOST_BYTES

_DRAW = random.Random(7)
PEM = "\n".join(
    [
        "-----BEGIN PRIVATE KEY-----",
        *(base64.b64encode(_DRAW.randbytes(48)).decode() for _ in range(8)),
        "-----END PRIVATE KEY-----",
    ]
)
TOKEN = "ghp_" + _DRAW.randbytes(25).hex()
SHORTEST_READ = 15  # bytes: what is shorter at a line's end or beginning is not known for a piece


def encode(text: str, width: int) -> bytes:
    return subprocess.run(
        ["base64", "-w", str(width)], input=text.encode(), stdout=subprocess.PIPE, check=True
    ).stdout


def list_readable(shown: bytes) -> list[bytes]:
    """What somebody reads of the lines who decodes what is left of each, in all four ways to begin."""
    texts = []
    for piece in shown.replace(b"\n", b"***").split(b"***"):
        for skipped in range(4):
            digits = piece.rstrip(b"=")[skipped:]
            texts.append(base64.b64decode(digits[: len(digits) // 4 * 4] or b""))
    return texts


@pytest.mark.parametrize("width", [60, 64, 76, 0])
@pytest.mark.parametrize("secret", [PEM, PEM + "\n", TOKEN], ids=["key", "key and newline", "token"])
def test_no_piece_of_a_secret_can_be_read_behind_anything_that_comes_before_it(
    secret: str, width: int
) -> None:
    masker = Masker()
    masker.add(secret)
    data = secret.strip().encode()
    pieces = {data[start : start + SHORTEST_READ] for start in range(len(data) - SHORTEST_READ + 1)}
    for before in range(80):
        written = encode("#" * before + f"KEY={secret}\nNEXT=1\n", width)
        shown = masker.mask(written)
        assert b"***" in shown
        for text in list_readable(shown):
            read = {text[start : start + SHORTEST_READ] for start in range(len(text) - SHORTEST_READ + 1)}
            assert not read & pieces, before
        stream = MaskStream(masker)
        cut = [stream.feed(written[start : start + 7]) for start in range(0, len(written), 7)]
        assert b"".join([*cut, stream.finish()]) == shown


def test_other_base64_stays_and_waits_for_nothing() -> None:
    masker = Masker()
    masker.add(PEM)
    other = base64.encodebytes(random.Random(8).randbytes(3000))
    assert masker.mask(other) == other
    assert MaskStream(masker).feed(b"50 % of it!") == b"50 % of it!"


def test_so_many_pieces_are_known_and_no_more() -> None:
    masker = Masker()
    masker.add(TOKEN)
    for number in range(100):
        masker.ask(f"{number}".zfill(MOST_BYTES // 16))
    written = encode(f"a={TOKEN}", 40)
    assert b"***" in masker.mask(written)
    assert len(masker._wrapped._windows) <= MOST_BYTES
