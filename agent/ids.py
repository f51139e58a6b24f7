"""Identifiers: what each one names, and how one is made from entropy that the caller brings.

A run has a number from the database (`github.run_id` is a number too). Jobs, agents and the rest carry a short
prefix, so that a pasted identifier says what it is, and 100 random bits, so that none can be guessed or hit twice.
"""

import re
from typing import NewType

RunId = NewType("RunId", int)
JobId = NewType("JobId", str)  # one job of one run, all its leases

ENTROPY_BYTES = 13  # 100 bits and a bit: what `make_id` wants to be handed

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread
_ID = re.compile(r"[a-z]{2,8}_[0-9a-hjkmnp-tv-z]{20}")


def make_id(prefix: str, entropy: bytes) -> str:
    """A new identifier such as `job_3m8k…`: `prefix`, then 20 base-32 digits taken from `entropy`.

    Raises ValueError when `entropy` is shorter than `ENTROPY_BYTES`.
    """
    if len(entropy) < ENTROPY_BYTES:
        raise ValueError(f"an id needs {ENTROPY_BYTES} bytes of entropy, not {len(entropy)}")
    number = int.from_bytes(entropy[:ENTROPY_BYTES], "big")
    digits = "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in range(20))
    return f"{prefix}_{digits}"


def is_id(prefix: str, text: str) -> bool:
    """Whether `text` has the form that `make_id(prefix, ...)` gives (so it is safe as a file name)."""
    return text.startswith(f"{prefix}_") and _ID.fullmatch(text) is not None
