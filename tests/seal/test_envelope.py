"""agent/seal/envelope.py: what the database holds opens with the master key only, and only in its own place."""

import base64
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DamagedError, RefusedError, UsageError
from agent.seal.envelope import MasterKey, decrypt, encrypt, is_current, rewrap

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
MASTER = MasterKey((OLD,))
ROTATED = MasterKey((NEW, OLD))


def as_text(*keys: bytes) -> str:
    return "\n".join(base64.b64encode(key).decode() for key in keys)


@given(st.binary(max_size=300), st.text(max_size=20))
def test_a_secret_comes_back(plaintext: bytes, scope: str):
    assert decrypt(MASTER, encrypt(MASTER, plaintext, scope=scope), scope=scope) == plaintext


def test_no_part_of_the_secret_and_no_key_is_in_the_record():
    record = encrypt(MASTER, b"a secret of some length", scope="p/N")
    assert b"secret" not in record
    assert OLD not in record
    assert record != encrypt(MASTER, b"a secret of some length", scope="p/N")


def test_a_changed_bit_anywhere_is_noticed():
    record = encrypt(MASTER, b"secret", scope="p/N")
    for place in range(len(record)):
        changed = bytearray(record)
        changed[place] ^= 1
        with pytest.raises(DamagedError) as caught:
            decrypt(MASTER, bytes(changed), scope="p/N")
        assert caught.value.hint
        assert caught.value.where == "p/N"


def test_a_torn_record_is_noticed():
    record = encrypt(MASTER, b"", scope="p/N")
    for size in range(len(record)):
        with pytest.raises(DamagedError):
            decrypt(MASTER, record[:size], scope="p/N")


@pytest.mark.parametrize("scope", ["p/M", "q/N", "p/", "", "P/N"])
def test_a_record_does_not_open_in_another_place(scope: str):
    with pytest.raises(DamagedError):
        decrypt(MASTER, encrypt(MASTER, b"secret", scope="p/N"), scope=scope)


def test_layers_of_two_records_cannot_be_combined():
    """Each of the two was written by us, so each layer is genuine: together they are not."""
    one, two = (encrypt(MASTER, text, scope=scope) for text, scope in ((b"one", "p/N"), (b"two", "p/M")))
    split = 1 + 8 + 12 + 48
    for scope in ("p/N", "p/M"):
        with pytest.raises(DamagedError):
            decrypt(MASTER, one[:split] + two[split:], scope=scope)


def test_another_master_key_is_named_and_nothing_is_opened():
    with pytest.raises(DamagedError, match=MASTER.key_id.hex()) as caught:
        decrypt(MasterKey((NEW,)), encrypt(MASTER, b"secret", scope="p/N"), scope="p/N")
    assert "further line" in caught.value.hint


def test_a_record_with_the_id_of_a_key_that_it_is_not_under_is_damaged():
    record = encrypt(MASTER, b"secret", scope="p/N")
    forged = record[:1] + MasterKey((NEW,)).key_id + record[9:]
    with pytest.raises(DamagedError):
        decrypt(ROTATED, forged, scope="p/N")


def test_keys_rotate_without_touching_the_secrets():
    record = encrypt(MASTER, b"secret", scope="p/N")
    assert decrypt(ROTATED, record, scope="p/N") == b"secret"
    assert not is_current(ROTATED, record)
    moved = rewrap(ROTATED, record, scope="p/N")
    assert is_current(ROTATED, moved)
    assert decrypt(MasterKey((NEW,)), moved, scope="p/N") == b"secret"
    assert moved[-34:] == record[-34:]
    with pytest.raises(DamagedError):
        rewrap(ROTATED, record, scope="p/M")


def test_keys_are_read_from_text_the_current_one_first():
    assert MasterKey.from_text(as_text(NEW, OLD)) == ROTATED
    assert MasterKey.from_text(" " + base64.urlsafe_b64encode(b"\xff" * 32).decode() + "\n").keys == (
        b"\xff" * 32,
    )


@pytest.mark.parametrize(
    "text", ["", " \n", "hunter2", as_text(b"short"), as_text(OLD) + " x", "é" * 44, as_text(OLD + b"x")]
)
def test_a_text_that_is_no_key_is_refused_and_not_repeated(text: str):
    with pytest.raises(UsageError, match="32 bytes in base64") as caught:
        MasterKey.from_text(text)
    assert caught.value.where == "AGENT_MASTER_KEY"
    assert "hunter2" not in str(caught.value)


def test_keys_show_in_no_repr():
    assert repr(ROTATED) == "MasterKey()"


def test_a_key_file_is_made_once_and_for_us_only(tmp_path: Path):
    file = tmp_path / "data" / "master.key"
    master = MasterKey.load_or_create(file)
    assert MasterKey.load_or_create(file) == master
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert len(master.keys[0]) == 32


def test_servers_that_start_at_once_agree_on_one_key(tmp_path: Path):
    found: list[MasterKey] = []
    barrier = threading.Barrier(6)

    def start() -> None:
        barrier.wait()
        found.append(MasterKey.load_or_create(tmp_path / "master.key"))

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len({master.keys for master in found}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["master.key"]


def test_a_key_file_may_be_mounted_for_a_group_and_as_a_link(tmp_path: Path):
    (tmp_path / "real").write_text(as_text(NEW, OLD) + "\n")
    (tmp_path / "real").chmod(0o440)
    (tmp_path / "master.key").symlink_to("real")
    assert MasterKey.load_or_create(tmp_path / "master.key") == ROTATED


def test_a_key_file_that_everybody_reads_or_that_holds_no_key_is_refused(tmp_path: Path):
    file = tmp_path / "master.key"
    file.write_text("not a key")
    file.chmod(0o600)
    with pytest.raises(UsageError) as caught:
        MasterKey.load_or_create(file)
    assert caught.value.where == str(file)
    file.chmod(0o644)
    with pytest.raises(RefusedError):
        MasterKey.load_or_create(file)
    assert file.read_text() == "not a key"
