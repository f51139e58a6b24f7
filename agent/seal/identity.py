"""An agent's identity: an Ed25519 key to sign with and an HPKE key to be sent secrets under.

Both are made on the machine at registration, and the private halves never leave it. The server knows the public
halves only; an agent proves itself by signing what the server has just made up (`challenge_message`).
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import DamagedError, NotFoundError
from agent.seal.canonical import encode_fields
from agent.seal.files import check_private_folder, make_private_folder, read_private_file, write_private_file
from agent.seal.suites import SUITES, Suite

FILE_NAME = "identity.json"
_VERSION = 1
_KEY_BYTES = 32  # Ed25519: a private key (seed) and a public key have the same length
_REGISTER = "run `agent register` to make a new identity"


@dataclass(frozen=True, slots=True)
class PublicIdentity:
    """What others may know of an agent: its Ed25519 public key (32 bytes), its HPKE public key, the HPKE suite."""

    signing_key: bytes
    sealing_key: bytes
    suite: str

    def to_json(self) -> dict[str, str]:
        """As JSON data, keys in base64."""
        return {
            "signing_key": _to_base64(self.signing_key),
            "sealing_key": _to_base64(self.sealing_key),
            "suite": self.suite,
        }

    @classmethod
    def from_json(cls, data: object) -> "PublicIdentity":
        """What `to_json` gave. Raises DamagedError for a wrong type or length and for an unknown suite."""
        if not isinstance(data, Mapping):
            raise DamagedError("a public identity is not an object")
        suite = _find_suite(data)
        return cls(
            signing_key=_read_key(data, "signing_key", _KEY_BYTES),
            sealing_key=_read_key(data, "sealing_key", suite.public_bytes),
            suite=str(data["suite"]),
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """An agent's key pairs. The private halves show in no repr, traceback or log."""

    public: PublicIdentity
    signing_key: bytes = field(repr=False)
    sealing_key: bytes = field(repr=False)

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature (64 bytes) of `message`, which must come from `encode_fields`."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.signing_key).sign(message)

    def save(self, folder: Path) -> None:
        """Write the keys into `folder` (made 0700; the file is 0600), in the place of those that were there.

        One file, moved into place: a crash or a second writer never leaves halves of two identities. Raises
        RefusedError when `folder` is open to others, OSError when it can't be written.
        """
        make_private_folder(folder)
        data = {
            "version": _VERSION,
            **self.public.to_json(),
            "signing_private_key": _to_base64(self.signing_key),
            "sealing_private_key": _to_base64(self.sealing_key),
        }
        write_private_file(folder / FILE_NAME, json.dumps(data, indent=1).encode() + b"\n")


def create_identity() -> Identity:
    """New key pairs, with the best suite that the library can do."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    signing_key = Ed25519PrivateKey.generate().private_bytes_raw()
    for name, suite in SUITES.items():
        try:
            return _make_identity(signing_key, suite.create_private_key(), name)
        except UnsupportedAlgorithm:
            continue
    raise AssertionError("X25519 is in every build of the library")


def load_identity(folder: Path) -> Identity:
    """The identity that was saved in `folder`.

    Raises NotFoundError when there is none, RefusedError when others can read it, DamagedError when it is not what
    was written. Each says what to do.
    """
    file = folder / FILE_NAME
    try:
        check_private_folder(folder)
        text = read_private_file(file, forbidden=0o077, advice="0600")
    except NotFoundError:
        raise NotFoundError("this machine has no identity yet", where=str(file), hint=_REGISTER) from None
    try:
        return _read_identity(json.loads(text))
    except (ValueError, RecursionError, DamagedError) as error:
        raise DamagedError(f"the identity is damaged: {error}", where=str(file), hint=_REGISTER) from error


def verify(public: PublicIdentity, message: bytes, signature: bytes) -> bool:
    """Whether `signature` was made over `message` with the private half of `public`; False for any nonsense."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public.signing_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def challenge_message(*, server: str, agent_id: str, nonce: bytes, version: int) -> bytes:
    """What an agent signs to connect: `nonce` is the server's, fresh for this connection.

    The signature is good for no other server (`server` is the URL that the agent dialled; the server puts in its
    own), no other agent, no other connection and no other protocol `version`: nobody between can use it elsewhere,
    or talk both sides down to an older protocol.
    """
    return encode_fields("flow-agent/challenge/1", server, agent_id, nonce, version)


def _make_identity(signing_key: bytes, sealing_key: bytes, suite: str) -> Identity:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = PublicIdentity(
        signing_key=Ed25519PrivateKey.from_private_bytes(signing_key).public_key().public_bytes_raw(),
        sealing_key=SUITES[suite].derive_public_key(sealing_key),
        suite=suite,
    )
    return Identity(public, signing_key, sealing_key)


def _read_identity(data: object) -> Identity:
    """The public halves are kept beside the private ones to notice a flipped bit before the server does."""
    public = PublicIdentity.from_json(data)
    assert isinstance(data, Mapping)
    if data.get("version") != _VERSION:
        raise DamagedError(f"version {data.get('version')!r} is not known here")
    signing_key = _read_key(data, "signing_private_key", _KEY_BYTES)
    sealing_key = _read_key(data, "sealing_private_key", SUITES[public.suite].private_bytes)
    identity = _make_identity(signing_key, sealing_key, public.suite)
    if identity.public != public:
        raise DamagedError("the private and the public keys do not belong together")
    return identity


def _find_suite(data: Mapping[object, object]) -> Suite:
    suite = data.get("suite")
    if not isinstance(suite, str) or suite not in SUITES:
        raise DamagedError(f"the suite {suite!r} is not known here")
    return SUITES[suite]


def _read_key(data: Mapping[object, object], name: str, size_bytes: int) -> bytes:
    value = data.get(name)
    try:
        key = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != size_bytes:
        raise DamagedError(f"'{name}' is not {size_bytes} bytes in base64")
    return key


def _to_base64(key: bytes) -> str:
    return base64.b64encode(key).decode("ascii")
