"""Secrets at rest on the server: each under a data key of its own, and that under the master key.

A record, all lengths fixed but the last:

    version 1 | master key's id 8 | nonce 12 | data key, wrapped 48 | nonce 12 | secret, encrypted (with its tag)

Both layers are AES-256-GCM and bound to the record's head and to its scope (project and name), so that a record that
is copied to another place in the database does not open there. The database alone, or a backup of it, opens nothing.

Rotation: put a new key on the first line of the master key's file and keep the old ones below. New records use the
first; `rewrap` moves old records over without touching their secrets; then the old line can go.
"""

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import DamagedError, NotFoundError, UsageError
from agent.seal.canonical import encode_fields
from agent.seal.files import read_private_file, write_private_file

KEY_BYTES = 32
_VERSION = b"\x01"
_ID_BYTES = 8
_NONCE_BYTES = 12  # NIST SP 800-38D: 96 random bits; a master key is good for 2^32 wraps
_WRAPPED_BYTES = KEY_BYTES + 16
_HEAD_BYTES = len(_VERSION) + _ID_BYTES
_WRAP_END = _HEAD_BYTES + _NONCE_BYTES + _WRAPPED_BYTES
_SMALLEST_BYTES = _WRAP_END + _NONCE_BYTES + 16
_LOST = "lost:"
_HOW_TO_MAKE = "make one with `head -c 32 /dev/urandom | base64`"


@dataclass(frozen=True, slots=True)
class MasterKey:
    """The key that all secrets of a server hang on: the current one first, then retired ones (for reading only).

    `lost` are the identifiers of keys that are gone, and with them what is under them: somebody has said so.
    """

    keys: tuple[bytes, ...] = field(repr=False)
    lost: frozenset[bytes] = field(default=frozenset(), repr=False)

    @property
    def key_id(self) -> bytes:
        """Names the current key (8 bytes) and gives nothing of it away."""
        return _make_key_id(self.keys[0])

    def find(self, key_id: bytes) -> bytes | None:
        """The key, current or retired, that `key_id` names."""
        return next((key for key in self.keys if _make_key_id(key) == key_id), None)

    @classmethod
    def from_text(cls, text: str, *, where: str = "AGENT_MASTER_KEY") -> "MasterKey":
        """Keys of 32 bytes in base64, separated by white space, the current one first; `lost:ID` for one that is gone.

        `where` tells the user what is wrong, the text never does. Raises UsageError.
        """
        words = text.split()
        keys = tuple(_read_key(word) for word in words if not word.startswith(_LOST))
        if not keys or not all(len(key) == KEY_BYTES for key in keys):
            raise UsageError("a master key is 32 bytes in base64", where=where, hint=_HOW_TO_MAKE)
        lost = frozenset(_read_id(word, where) for word in words if word.startswith(_LOST))
        return cls(keys, lost)

    @classmethod
    def load_or_create(cls, file: Path) -> "MasterKey":
        """The key in `file`; a new one is written there (0600) when there is none. Of two servers, one creates.

        Raises RefusedError when others can read the file (a group may: that is how secrets are mounted into
        containers), UsageError when it does not hold a key.
        """
        try:
            return cls.load(file)
        except NotFoundError:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private_file(file, base64.b64encode(os.urandom(KEY_BYTES)) + b"\n", replace=False)
        return cls.load(file)

    @classmethod
    def load(cls, file: Path) -> "MasterKey":
        """The key in `file`. Raises NotFoundError, RefusedError when others can read it, UsageError."""
        # Kubernetes mounts each secret as a link to the file that holds it.
        content = read_private_file(file, forbidden=0o027, advice="0600", follow_link=True)
        return cls.from_text(content.decode("ascii", "replace"), where=str(file))


def encrypt(master: MasterKey, plaintext: bytes, *, scope: str) -> bytes:
    """`plaintext` as a record that opens only under `master` and the same `scope` (such as `project/NAME`)."""
    data_key = os.urandom(KEY_BYTES)
    head = _VERSION + master.key_id
    wrapped = _encrypt(master.keys[0], data_key, _bind("data-key", head, scope))
    # The secret is not bound to the head: `rewrap` changes that. It is bound through its data key, which is.
    return head + wrapped + _encrypt(data_key, plaintext, _bind("secret", _VERSION, scope))


def decrypt(master: MasterKey, record: bytes, *, scope: str) -> bytes:
    """What `encrypt` was given. Raises DamagedError for another key, another scope or a damaged record."""
    data_key = _unwrap(master, record, scope)
    plaintext = _decrypt(data_key, record[_WRAP_END:], _bind("secret", _VERSION, scope))
    if plaintext is None:
        raise _damaged(scope)
    return plaintext


def is_current(master: MasterKey, record: bytes) -> bool:
    """Whether `record` is under the current key, so that `rewrap` has nothing to do."""
    return record[:_HEAD_BYTES] == _VERSION + master.key_id


def key_id_of(record: bytes) -> bytes:
    """Which master key `record` is under, by its identifier; empty for what is no record."""
    return record[len(_VERSION) : _HEAD_BYTES] if record.startswith(_VERSION) else b""


def rewrap(master: MasterKey, record: bytes, *, scope: str) -> bytes:
    """`record` under the current key; the secret in it is not decrypted. Raises DamagedError as `decrypt` does."""
    data_key = _unwrap(master, record, scope)
    head = _VERSION + master.key_id
    return head + _encrypt(master.keys[0], data_key, _bind("data-key", head, scope)) + record[_WRAP_END:]


def _unwrap(master: MasterKey, record: bytes, scope: str) -> bytes:
    if len(record) < _SMALLEST_BYTES or not record.startswith(_VERSION):
        raise _damaged(scope)
    head = record[:_HEAD_BYTES]
    key = master.find(head[len(_VERSION) :])
    if key is None:
        raise DamagedError(
            f"a stored secret is under another master key ({head[len(_VERSION) :].hex()})",
            where=scope,
            hint="add that key as a further line to the master key's file, or set the secret again",
        )
    data_key = _decrypt(key, record[_HEAD_BYTES:_WRAP_END], _bind("data-key", head, scope))
    if data_key is None:
        raise _damaged(scope)
    return data_key


def _encrypt(key: bytes, plaintext: bytes, bound_to: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, bound_to)


def _decrypt(key: bytes, box: bytes, bound_to: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], bound_to)
    except InvalidTag:
        return None


def _bind(layer: str, head: bytes, scope: str) -> bytes:
    return encode_fields(f"flow-agent/envelope/{layer}/1", head, scope)


def _make_key_id(key: bytes) -> bytes:
    return hashlib.sha256(encode_fields("flow-agent/master-key-id/1", key)).digest()[:_ID_BYTES]


def _read_key(word: str) -> bytes:
    try:
        return base64.b64decode(word.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _read_id(word: str, where: str) -> bytes:
    try:
        found = bytes.fromhex(word.removeprefix(_LOST))
    except ValueError:
        found = b""
    if len(found) != _ID_BYTES:
        raise UsageError(
            "what follows `lost:` is no master key's identifier",
            where=where,
            hint="such as lost:0123456789abcdef",
        )
    return found


def _damaged(scope: str) -> DamagedError:
    return DamagedError(
        "a stored secret does not open: it is damaged, or was stored under another name",
        where=scope,
        hint="set the secret again, or restore it from a backup",
    )
