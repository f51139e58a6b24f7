"""The HPKE suites (RFC 9180) that secrets are sealed with, and how their keys are written as bytes.

`mlkem768-x25519` is a hybrid: it holds as long as either X25519 or ML-KEM-768 (FIPS 203) does, so that traffic that is
recorded today stays closed to a quantum computer. Where the library was built without ML-KEM, it is X25519 alone.
"""

from abc import abstractmethod
from typing import Any, Protocol

_MLKEM_SEED_BYTES = 64  # FIPS 203: (d, z)
_MLKEM_PUBLIC_BYTES = 1184
_X25519_BYTES = 32


class Suite(Protocol):
    """One way to seal. Keys are bytes of a fixed length; a wrong length is a ValueError."""

    private_bytes: int
    public_bytes: int

    @abstractmethod
    def create_private_key(self) -> bytes:
        """A new private key. Raises `cryptography.exceptions.UnsupportedAlgorithm` where the library has none."""

    @abstractmethod
    def derive_public_key(self, private_key: bytes) -> bytes:
        """The public half of `private_key`."""

    @abstractmethod
    def encrypt(self, public_key: bytes, plaintext: bytes, info: bytes) -> bytes:
        """HPKE's single-shot seal in base mode: enc, then ciphertext. ValueError for a key that is none."""

    @abstractmethod
    def decrypt(self, private_key: bytes, sealed: bytes, info: bytes) -> bytes:
        """What `encrypt` sealed. Raises `cryptography.exceptions.InvalidTag`."""


class X25519Suite:
    """DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM."""

    private_bytes = _X25519_BYTES
    public_bytes = _X25519_BYTES

    def create_private_key(self) -> bytes:
        """32 bytes."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        return X25519PrivateKey.generate().private_bytes_raw()

    def derive_public_key(self, private_key: bytes) -> bytes:
        """32 bytes."""
        return bytes(_x25519_private(private_key).public_key().public_bytes_raw())

    def encrypt(self, public_key: bytes, plaintext: bytes, info: bytes) -> bytes:
        """See `Suite`."""
        return bytes(self._hpke().encrypt(plaintext, _x25519_public(public_key), info))

    def decrypt(self, private_key: bytes, sealed: bytes, info: bytes) -> bytes:
        """See `Suite`."""
        return bytes(self._hpke().decrypt(sealed, _x25519_private(private_key), info))

    def _hpke(self) -> Any:
        from cryptography.hazmat.primitives import hpke

        return hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class HybridSuite:
    """MLKEM768-X25519, HKDF-SHA256, AES-256-GCM. Keys are the ML-KEM part, then the X25519 part."""

    private_bytes = _MLKEM_SEED_BYTES + _X25519_BYTES
    public_bytes = _MLKEM_PUBLIC_BYTES + _X25519_BYTES

    def create_private_key(self) -> bytes:
        """96 bytes: ML-KEM's seed, then the X25519 key."""
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

        return MLKEM768PrivateKey.generate().private_bytes_raw() + X25519Suite().create_private_key()

    def derive_public_key(self, private_key: bytes) -> bytes:
        """1216 bytes."""
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

        mlkem = MLKEM768PrivateKey.from_seed_bytes(private_key[:_MLKEM_SEED_BYTES])
        x25519 = _x25519_private(private_key[_MLKEM_SEED_BYTES:])
        return mlkem.public_key().public_bytes_raw() + bytes(x25519.public_key().public_bytes_raw())

    def encrypt(self, public_key: bytes, plaintext: bytes, info: bytes) -> bytes:
        """See `Suite`."""
        from cryptography.hazmat.primitives import hpke
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey

        mlkem = MLKEM768PublicKey.from_public_bytes(public_key[:_MLKEM_PUBLIC_BYTES])
        key = hpke.MLKEM768X25519PublicKey(mlkem, _x25519_public(public_key[_MLKEM_PUBLIC_BYTES:]))
        return bytes(self._hpke().encrypt(plaintext, key, info))

    def decrypt(self, private_key: bytes, sealed: bytes, info: bytes) -> bytes:
        """See `Suite`."""
        from cryptography.hazmat.primitives import hpke
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

        mlkem = MLKEM768PrivateKey.from_seed_bytes(private_key[:_MLKEM_SEED_BYTES])
        key = hpke.MLKEM768X25519PrivateKey(mlkem, _x25519_private(private_key[_MLKEM_SEED_BYTES:]))
        return bytes(self._hpke().decrypt(sealed, key, info))

    def _hpke(self) -> Any:
        from cryptography.hazmat.primitives import hpke

        return hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


# Best first: `create_identity` takes the first one that the library can do.
SUITES: dict[str, Suite] = {
    "mlkem768-x25519-hkdf-sha256-aes256gcm": HybridSuite(),
    "x25519-hkdf-sha256-aes256gcm": X25519Suite(),
}


def _x25519_private(key: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(key)


def _x25519_public(key: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    return X25519PublicKey.from_public_bytes(key)
