"""Secrets on their way to one agent: sealed so that only it can open them, and only for the job they were meant for.

A sealed secret is one byte of version, then HPKE's output (RFC 9180, base mode). The binding to (job, lease, name) is
HPKE's `info`: it goes into the key itself, so that a secret that is shown under another job, lease or name is noise.
"""

from agent.errors import RefusedError, UsageError
from agent.seal.canonical import encode_fields
from agent.seal.identity import Identity, PublicIdentity, create_identity
from agent.seal.suites import SUITES

_VERSION = b"\x01"


def seal(public: PublicIdentity, plaintext: bytes, *, job_id: str, lease: int, name: str) -> bytes:
    """`plaintext` for the agent behind `public` only, bound to `job_id`, `lease` and the secret's `name`.

    Raises UsageError when `public` holds keys that are none.
    """
    try:
        return _VERSION + SUITES[public.suite].encrypt(
            public.sealing_key, plaintext, _bind(job_id, lease, name)
        )
    except (ValueError, KeyError) as error:
        raise UsageError("nothing can be sealed for this agent: its public key is not valid") from error


def open_sealed(identity: Identity, sealed: bytes, *, job_id: str, lease: int, name: str) -> bytes:
    """What was sealed for this agent, this job, this lease and this name.

    Raises RefusedError, without telling which of these is wrong: that would help only an attacker.
    """
    from cryptography.exceptions import InvalidTag

    suite = SUITES[identity.public.suite]
    try:
        if sealed[:1] == _VERSION:
            return suite.decrypt(identity.sealing_key, sealed[1:], _bind(job_id, lease, name))
    except (InvalidTag, ValueError):
        pass
    # Raised outside of the handler, so that no detail of the failure is carried along.
    raise RefusedError("a sealed secret cannot be opened here")


def warm_up() -> None:
    """Load all that `open_sealed` needs: for a process whose forks shall open secrets at once."""
    identity = create_identity()
    sealed = seal(identity.public, b"", job_id="job", lease=1, name="NAME")
    open_sealed(identity, sealed, job_id="job", lease=1, name="NAME")


def _bind(job_id: str, lease: int, name: str) -> bytes:
    return encode_fields("flow-agent/sealed-secret/1", job_id, lease, name)
