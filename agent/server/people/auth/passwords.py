"""Passwords of people who sign in here: argon2id, and the same work for a name that nobody has."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from agent.errors import UsageError

_SHORTEST, _LONGEST = 10, 1024
_hasher = PasswordHasher()
# Of no password: verifying against it takes as long as against any other and never succeeds.
_NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$bm9ib2R5J3Mgc2FsdCE$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def check_password(password: str) -> None:
    """Raises UsageError for a password that is too short or too long."""
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise UsageError(f"a password has {_SHORTEST} to {_LONGEST} characters", where="password")


def hash_password(password: str) -> str:
    """What is stored of `password`. It takes a good part of a second: call it off the event loop."""
    check_password(password)
    return _hasher.hash(password.encode("utf-8", "surrogatepass"))


def password_matches(password: str, stored: str | None) -> bool:
    """Whether `stored` is that of `password`; as slow as `hash_password` whatever the answer, and without one too."""
    try:
        _hasher.verify(stored or _NOBODYS, password.encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None
