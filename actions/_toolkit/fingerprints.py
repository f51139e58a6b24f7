"""Whether bytes are those that were seen before, told at the speed of memory: by a fingerprint under a key that nobody chose.

It is AES-GMAC (NIST SP 800-38D), a universal hash: for two different contents that know nothing of the key, the chance of one fingerprint is below
their length in blocks of 16 bytes through 2^128, for a chunk of a MiB 2^-112. That is no name that others could rely on, as a SHA-256 is: it tells
a job whether its own bytes are still there. Key and fingerprints lie where only the job can read them.

The agent has `cryptography`, and says in FLOW_LIBRARIES where; nothing else of there is ever imported. Without it (an agent or a Python without)
there are no fingerprints, and everything is hashed.
"""

import os
import sys
from collections.abc import Callable
from typing import TypeAlias

KEY_BYTES = 16
_NONCE = bytes(12)  # one for all: equal bytes have equal fingerprints, which is what they are for

Fingerprint: TypeAlias = Callable[["bytes | bytearray | memoryview"], str]


def open_fingerprint(key: bytes) -> Fingerprint | None:
    """What gives the fingerprint of bytes under `key`, in hex; None where that can't be had."""
    folder = os.environ.get("FLOW_LIBRARIES", "")
    if not folder:
        return None
    sys.path.append(folder)
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except Exception:  # noqa: BLE001  (whatever keeps a compiled library from being loaded: it is not needed)
        return None
    finally:
        sys.path.remove(folder)
    seal = AESGCM(key).encrypt
    return lambda data: seal(_NONCE, b"", data).hex()
