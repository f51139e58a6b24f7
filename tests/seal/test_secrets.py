"""agent/seal/secrets.py: one agent, one job, one lease, one name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import RefusedError, UsageError
from agent.seal.identity import Identity, PublicIdentity, create_identity
from agent.seal.secrets import open_sealed, seal
from agent.seal.suites import SUITES

BINDING = {"job_id": "job_1", "lease": 3, "name": "HF_TOKEN"}


def make_identity(suite: str) -> Identity:
    private = SUITES[suite].create_private_key()
    signing = create_identity()
    public = PublicIdentity(signing.public.signing_key, SUITES[suite].derive_public_key(private), suite)
    return Identity(public, signing.signing_key, private)


@pytest.fixture(params=SUITES)
def identity(request: pytest.FixtureRequest) -> Identity:
    return make_identity(request.param)


AGENT = create_identity()


@given(st.binary(max_size=5000), st.text("abc_", max_size=20), st.integers(min_value=1))
@settings(max_examples=30, deadline=None)
def test_a_secret_arrives(plaintext: bytes, name: str, lease: int):
    sealed = seal(AGENT.public, plaintext, job_id="job_1", lease=lease, name=name)
    assert open_sealed(AGENT, sealed, job_id="job_1", lease=lease, name=name) == plaintext


@pytest.mark.parametrize(
    "change",
    [
        {"job_id": "job_2"},
        {"job_id": "job_10"},
        {"lease": 2},
        {"lease": 4},
        {"name": "HF_TOKEN2"},
        {"name": "hf_token"},
        {"job_id": "job_", "name": "1HF_TOKEN"},
    ],
)
def test_under_another_job_lease_or_name_it_stays_shut(identity: Identity, change: dict):
    sealed = seal(identity.public, b"secret", **BINDING)
    with pytest.raises(RefusedError) as caught:
        open_sealed(identity, sealed, **{**BINDING, **change})
    assert str(caught.value) == "a sealed secret cannot be opened here"
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_another_agent_cannot_open_it(identity: Identity):
    sealed = seal(identity.public, b"secret", **BINDING)
    with pytest.raises(RefusedError):
        open_sealed(make_identity(identity.public.suite), sealed, **BINDING)


def test_a_changed_bit_anywhere_keeps_it_shut(identity: Identity):
    sealed = seal(identity.public, b"secret", **BINDING)
    places = {*range(3), *range(3, len(sealed), 97), *range(len(sealed) - 24, len(sealed))}
    for place in places:
        changed = bytearray(sealed)
        changed[place] ^= 1
        # The highest bit of an X25519 point is masked by RFC 7748, any other bit counts: here we flip the lowest.
        with pytest.raises(RefusedError):
            open_sealed(identity, bytes(changed), **BINDING)


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02", b"\x01" + bytes(40), bytes(2000)])
def test_nonsense_is_refused(identity: Identity, sealed: bytes):
    with pytest.raises(RefusedError):
        open_sealed(identity, sealed, **BINDING)


def test_a_torn_secret_is_refused(identity: Identity):
    sealed = seal(identity.public, b"secret", **BINDING)
    for size in (1, 20, len(sealed) - 1):
        with pytest.raises(RefusedError):
            open_sealed(identity, sealed[:size], **BINDING)


def test_equal_secrets_look_different(identity: Identity):
    assert seal(identity.public, b"secret", **BINDING) != seal(identity.public, b"secret", **BINDING)


@pytest.mark.parametrize("suite", [*SUITES, "unknown"])
@pytest.mark.parametrize("key", [b"", b"short", bytes(32)])
def test_nothing_is_sealed_for_a_key_that_is_none(suite: str, key: bytes):
    """32 zeros are a point of low order: whatever is sealed for it, everybody can open."""
    with pytest.raises(UsageError):
        seal(PublicIdentity(bytes(32), key, suite), b"secret", **BINDING)
