"""agent/seal/files.py: secret files are never open to others, and never half-written."""

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import DamagedError, NotFoundError, RefusedError
from agent.seal import files
from agent.seal.files import make_private_folder, read_private_file, write_private_file


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def read(file: Path, **options: bool) -> bytes:
    return read_private_file(file, forbidden=0o077, advice="0600", **options)


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_with_no_umask_nothing_is_open_to_others_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[int] = []
    real_open = open

    def spy(target: int, *args: str) -> object:
        seen.append(
            stat.S_IMODE(os.fstat(target).st_mode)
        )  # the file as it is before the first byte is written
        return real_open(target, *args)

    monkeypatch.setattr(files, "open", spy, raising=False)
    monkeypatch.setattr(os, "chmod", None)
    monkeypatch.setattr(os, "fchmod", None)
    make_private_folder(tmp_path / "a" / "keys")
    write_private_file(tmp_path / "a" / "keys" / "k", b"secret")
    assert mode_of(tmp_path / "a" / "keys") == 0o700
    assert mode_of(tmp_path / "a" / "keys" / "k") == 0o600
    assert seen == [0o600]


def test_a_folder_that_others_can_look_into_is_refused(tmp_path: Path):
    (tmp_path / "keys").mkdir(mode=0o755)
    with pytest.raises(RefusedError, match="0755") as caught:
        make_private_folder(tmp_path / "keys")
    assert "chmod 0700" in caught.value.hint


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "keys").symlink_to("elsewhere")
    with pytest.raises(RefusedError):
        make_private_folder(tmp_path / "keys")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_private_file(tmp_path / "k", b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_private_file(tmp_path / "k", b"new")
    assert read(tmp_path / "k") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


def test_of_many_who_create_one_wins_and_all_see_its_file(tmp_path: Path):
    barrier = threading.Barrier(8)
    won: list[bytes] = []

    def create(content: bytes) -> None:
        barrier.wait()
        if write_private_file(tmp_path / "k", content, replace=False):
            won.append(content)

    threads = [threading.Thread(target=create, args=(bytes([n]) * 100,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [read(tmp_path / "k")] == won
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_have_rights_on_is_refused(tmp_path: Path, mode: int):
    (tmp_path / "k").write_bytes(b"secret")
    (tmp_path / "k").chmod(mode)
    with pytest.raises(RefusedError, match=f"0{mode:o}") as caught:
        read(tmp_path / "k")
    assert f"chmod 0600 {tmp_path / 'k'}" in caught.value.hint


def test_what_is_no_private_file_is_refused(tmp_path: Path):
    with pytest.raises(NotFoundError):
        read(tmp_path / "missing")
    write_private_file(tmp_path / "k", b"secret")
    (tmp_path / "link").symlink_to("k")
    with pytest.raises(RefusedError):
        read(tmp_path / "link")
    assert read(tmp_path / "link", follow_link=True) == b"secret"
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(DamagedError):
        read(tmp_path / "fifo")
    write_private_file(tmp_path / "huge", bytes(1_000_000))
    with pytest.raises(DamagedError):
        read(tmp_path / "huge")


@pytest.mark.parametrize(
    ("owner", "me", "is_refused"), [(1000, 1001, True), (0, 1001, False), (1000, 0, False)]
)
def test_a_file_of_somebody_else_is_refused_unless_one_of_us_is_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, me: int, is_refused: bool
):
    write_private_file(tmp_path / "k", b"secret")
    real = os.fstat

    def owned(descriptor: int) -> os.stat_result:
        fields = list(real(descriptor))
        fields[stat.ST_UID] = owner
        return os.stat_result(fields)

    monkeypatch.setattr(files.os, "fstat", owned)
    monkeypatch.setattr(files.os, "geteuid", lambda: me)
    if is_refused:
        with pytest.raises(RefusedError, match="somebody else"):
            read(tmp_path / "k")
    else:
        assert read(tmp_path / "k") == b"secret"
