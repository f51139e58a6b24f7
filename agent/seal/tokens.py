"""Tokens: 256 random bits with a prefix that says what they open. Whoever stores one stores its hash only.

A plain SHA-256 is enough: a token can't be guessed, so there is nothing for a slow hash to slow down.
"""

import hashlib
import hmac

ENTROPY_BYTES = 32
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = 43  # base 62: the smallest number of digits that holds 256 bits


def new_token(prefix: str, entropy: bytes) -> str:
    """A token such as `fa_reg_…`: `prefix`, `_`, then 43 letters and digits that say all of `entropy`.

    The prefix lets people and secret scanners know a token when they see one. Raises ValueError when `entropy` is not
    `ENTROPY_BYTES` long.
    """
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"a token needs {ENTROPY_BYTES} bytes of entropy, not {len(entropy)}")
    number = int.from_bytes(entropy, "big")
    digits = []
    for _ in range(_DIGITS):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(digits))}"


def hash_token(token: str) -> str:
    """What is stored of a token: SHA-256 in hex. Any text has one, also a text that is no token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def token_matches(token: str, stored_hash: str) -> bool:
    """Whether `stored_hash` is that of `token`, in a time that does not tell how much of it is right."""
    return hmac.compare_digest(hash_token(token).encode(), stored_hash.encode("utf-8", "surrogatepass"))
