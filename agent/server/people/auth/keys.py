"""Keys derived from one signing key on disk, one for every purpose: what is signed for one is worth nothing for another."""

import hashlib
import hmac


def derive_key(signing_key: bytes, purpose: str) -> bytes:
    """The 32-byte key for `purpose` (HKDF-Expand of RFC 5869, one block)."""
    return hmac.digest(signing_key, f"flow-agent/{purpose}".encode() + b"\x01", hashlib.sha256)
