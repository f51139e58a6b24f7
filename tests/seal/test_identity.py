"""agent/seal/identity.py: keys that stay on the machine, signatures that are good for one connection."""

import json
import stat
import threading
from pathlib import Path

import pytest

from agent.errors import DamagedError, NotFoundError, RefusedError
from agent.seal import suites
from agent.seal.identity import (
    FILE_NAME,
    PublicIdentity,
    challenge_message,
    create_identity,
    load_identity,
    verify,
)
from agent.seal.suites import SUITES

CHALLENGE = {"server": "https://flows.example", "agent_id": "agent_1", "nonce": b"n" * 32, "version": 1}


def test_an_identity_survives_the_disk(tmp_path: Path):
    identity = create_identity()
    identity.save(tmp_path / "keys")
    assert load_identity(tmp_path / "keys") == identity
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "keys" / FILE_NAME).stat().st_mode) == 0o600


def test_the_public_half_survives_json_and_holds_nothing_private():
    identity = create_identity()
    text = json.dumps(identity.public.to_json())
    assert PublicIdentity.from_json(json.loads(text)) == identity.public
    assert set(json.loads(text)) == {"signing_key", "sealing_key", "suite"}


def test_the_best_suite_of_the_library_is_taken():
    assert create_identity().public.suite == "mlkem768-x25519-hkdf-sha256-aes256gcm"


def test_a_library_without_mlkem_gives_x25519(monkeypatch: pytest.MonkeyPatch):
    from cryptography.exceptions import UnsupportedAlgorithm

    def refuse(self: object) -> bytes:
        raise UnsupportedAlgorithm("ML-KEM-768 is not supported by this version of OpenSSL")

    monkeypatch.setattr(suites.HybridSuite, "create_private_key", refuse)
    assert create_identity().public.suite == "x25519-hkdf-sha256-aes256gcm"


def test_private_keys_show_in_no_repr():
    identity = create_identity()
    for key in (identity.signing_key, identity.sealing_key):
        assert repr(key) not in repr(identity)
        assert key.hex() not in repr(identity)


def test_a_signature_is_good_for_its_message_and_its_key_only():
    identity, other = create_identity(), create_identity()
    message = challenge_message(**CHALLENGE)
    signature = identity.sign(message)
    assert verify(identity.public, message, signature)
    assert not verify(other.public, message, signature)
    assert not verify(identity.public, message + b"x", signature)


@pytest.mark.parametrize(
    "change",
    [
        {"server": "https://flows.example.org"},
        {"agent_id": "agent_2"},
        {"nonce": b"m" * 32},
        {"version": 2},
        {"server": "https://flows.exampl", "agent_id": "eagent_1"},
    ],
)
def test_a_signature_cannot_be_replayed_elsewhere(change: dict):
    identity = create_identity()
    signature = identity.sign(challenge_message(**CHALLENGE))
    assert not verify(identity.public, challenge_message(**{**CHALLENGE, **change}), signature)


@pytest.mark.parametrize("signature", [b"", b"x", bytes(64), bytes(65)])
def test_nonsense_is_no_signature(signature: bytes):
    identity = create_identity()
    assert not verify(identity.public, b"message", signature)
    assert not verify(PublicIdentity(b"short", b"", "x"), b"message", signature)


def test_a_machine_without_an_identity_is_told_how_to_get_one(tmp_path: Path):
    with pytest.raises(NotFoundError, match="no identity yet") as caught:
        load_identity(tmp_path / "keys")
    assert "agent register" in caught.value.hint
    (tmp_path / "keys").mkdir(mode=0o700)
    with pytest.raises(NotFoundError):
        load_identity(tmp_path / "keys")


@pytest.mark.parametrize(("place", "mode"), [("", 0o750), (FILE_NAME, 0o644)])
def test_an_identity_that_others_can_read_is_refused(tmp_path: Path, place: str, mode: int):
    create_identity().save(tmp_path / "keys")
    (tmp_path / "keys" / place).chmod(mode)
    with pytest.raises(RefusedError) as caught:
        load_identity(tmp_path / "keys")
    assert "chmod" in caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"suite": "rot13"},
        {"suite": ["x"]},
        {"signing_key": "AAAA"},
        {"signing_private_key": "!"},
        {"signing_private_key": 7},
        {"sealing_private_key": ""},
        {"signing_private_key": "A" * 43 + "="},
        {"sealing_private_key": "A" * 128},
    ],
)
def test_a_damaged_identity_is_called_damaged(tmp_path: Path, change: dict):
    create_identity().save(tmp_path / "keys")
    file = tmp_path / "keys" / FILE_NAME
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DamagedError, match="the identity is damaged") as caught:
        load_identity(tmp_path / "keys")
    assert caught.value.where == str(file)
    assert "agent register" in caught.value.hint


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 50_000])
def test_a_torn_identity_is_called_damaged(tmp_path: Path, text: bytes):
    create_identity().save(tmp_path / "keys")
    (tmp_path / "keys" / FILE_NAME).write_bytes(text)
    with pytest.raises(DamagedError):
        load_identity(tmp_path / "keys")


def test_many_who_save_at_once_leave_one_whole_identity(tmp_path: Path):
    identities = [create_identity() for _ in range(6)]
    threads = [threading.Thread(target=identity.save, args=(tmp_path / "keys",)) for identity in identities]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert load_identity(tmp_path / "keys") in identities
    assert [path.name for path in (tmp_path / "keys").iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("name", SUITES)
def test_each_suite_has_keys_of_its_lengths_and_opens_what_it_sealed(name: str):
    suite = SUITES[name]
    private = suite.create_private_key()
    public = suite.derive_public_key(private)
    assert (len(private), len(public)) == (suite.private_bytes, suite.public_bytes)
    assert suite.decrypt(private, suite.encrypt(public, b"secret", b"info"), b"info") == b"secret"
