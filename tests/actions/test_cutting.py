"""Chunks: cut by what is in them, so that what has moved is found again; and what is known of files without reading them."""

import hashlib
import os
import random
from pathlib import Path

import pytest
from _toolkit.cutting import LONGEST, SHORTEST, find_cut
from _toolkit.known import Known, Noted
from _toolkit.tree_parts import Part, Piece, read_again, read_part
from _toolkit.trees import Entry, scan_tree

from agent.config import bundled
from agent.job.runtimes.interpreters import find_libraries

MIB = 1 << 20


def cut(data: bytes) -> list[bytes]:
    chunks, start = [], 0
    while start < len(data):
        end = find_cut(data, start)
        chunks.append(data[start:end])
        start = end
    return chunks


def floats(count: int) -> bytes:
    """Weights of a network, as bfloat16."""
    chosen = random.Random(1)
    return b"".join(
        bytes((chosen.getrandbits(8), 0x3C + chosen.choice((0, 0, 0, 1, -1)))) for _ in range(count)
    )


def lines() -> bytes:
    chosen = random.Random(2)
    return b"".join(b"%d: a line of a log\n" % chosen.getrandbits(40) for _ in range(300_000))


@pytest.mark.parametrize(
    "data",
    [random.Random(0).randbytes(12 * MIB), floats(5 * MIB), lines()],
    ids=["random", "bfloat16", "text"],
)
def test_what_has_moved_is_the_same_chunks_again(data: bytes) -> None:
    before = cut(data)
    assert b"".join(before) == data
    assert all(SHORTEST <= len(chunk) <= LONGEST for chunk in before[:-1])
    known = set(before)
    moved = cut(data[:MIB] + b"some bytes more" + data[MIB:])
    new = sum(len(chunk) for chunk in moved if chunk not in known)
    assert new < len(data) * 3 // 4  # a few chunks later it goes on as it was
    assert moved[-1] == before[-1]


def test_where_nothing_marks_a_place_chunks_are_as_long_as_they_may_be() -> None:
    assert [len(chunk) for chunk in cut(bytes(3 * LONGEST))] == [LONGEST] * 3
    dense = b"\x9d\x3c" * (2 * MIB)  # and marks without end cost no more than some
    assert b"".join(cut(dense)) == dense


def entries_of(folder: Path) -> list[Entry]:
    return list(scan_tree(folder, str(folder)).entries)


def test_a_file_that_has_not_changed_is_known(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_text("content")
    wait_for_tick(tmp_path, (tree / "a").stat().st_ctime_ns)
    first = Known(str(tmp_path))
    first.note(entries_of(tree), [Noted("0" * 64, 7)])
    first.save()
    assert Known(str(tmp_path)).find(entries_of(tree)) == [("0" * 64, 7, "")]
    facts = (tree / "a").stat()
    (tree / "a").write_text("CONTENT")
    os.utime(tree / "a", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert Known(str(tmp_path)).find(entries_of(tree)) is None


def test_nothing_is_noted_of_a_file_that_was_changed_within_the_tick_in_which_it_was_read(
    tmp_path: Path,
) -> None:
    known = Known(str(tmp_path))
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_text("content")  # after the upload began
    known.note(entries_of(tree), [Noted("0" * 64, 7)])
    assert known.find(entries_of(tree)) is None
    known.save()
    assert Known(str(tmp_path)).find(entries_of(tree)) is None


def wait_for_tick(folder: Path, moment_ns: int) -> None:
    """Until the file system's clock is past the moment."""
    probe = folder / "probe"
    while True:
        probe.write_text("x")
        if probe.stat().st_ctime_ns > moment_ns:
            return


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the agent's own actions are run."""
    for name, value in find_libraries(bundled("actions") / "upload-artifact").items():
        monkeypatch.setenv(name, value)


def read(folder: Path, path: Path) -> list[Piece]:
    """The pieces of a file, noted as an upload notes them."""
    known = Known(str(folder))
    known.begin_fingerprints()
    part = Part(entries_of(path))
    for piece in read_part(part, known):
        if piece.data is not None:
            piece.digest = hashlib.sha256(piece.data).hexdigest()
            piece.fingerprint = known.fingerprint(piece.data) if known.fingerprint is not None else ""
        part.pieces.append(piece)
    known.note(part.entries, [Noted(piece.digest, piece.size, piece.fingerprint) for piece in part.pieces])
    known.save()
    return part.pieces


def check(pieces: list[Piece], content: bytes) -> int:
    """That they are the content; how many of its bytes were hashed."""
    assert [piece.offset for piece in pieces] == [
        sum(piece.size for piece in pieces[:index]) for index in range(len(pieces))
    ]
    assert sum(piece.size for piece in pieces) == len(content)
    for piece in pieces:
        here = content[piece.offset : piece.offset + piece.size]
        assert hashlib.sha256(here).hexdigest() == piece.digest
        assert piece.data is None or bytes(piece.data) == here
        assert piece.data is not None or read_again(piece) == here
    return sum(piece.size for piece in pieces if piece.data is not None)


def changed(content: bytes, at: int, new: bytes, *, instead_of: int) -> bytes:
    return content[:at] + new + content[at + instead_of :]


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("instead_of", [4000, 0, 5000], ids=["in place", "inserted", "taken out"])
def test_of_a_large_file_that_was_changed_only_what_was_is_hashed(tmp_path: Path, instead_of: int) -> None:
    content = random.Random(3).randbytes(48 * MIB)
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    assert check(read(tmp_path, path), content) == len(content)
    path.write_bytes(new := changed(content, 20 * MIB, random.randbytes(4000), instead_of=instead_of))
    assert check(read(tmp_path, path), new) < 16 * MIB
    path.write_bytes(twice := changed(new, len(new), b"and more", instead_of=0))
    assert check(read(tmp_path, path), twice) < 4 * MIB
    path.write_bytes(twice[: 30 * MIB])
    assert check(read(tmp_path, path), twice[: 30 * MIB]) < 4 * MIB


@pytest.mark.usefixtures("libraries")
def test_a_single_bit_is_seen_wherever_it_is_and_whatever_the_times_say(tmp_path: Path) -> None:
    content = bytearray(random.Random(4).randbytes(8 * MIB))
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    read(tmp_path, path)
    chosen = random.Random(5)
    for at in (0, len(content) - 1, *(chosen.randrange(len(content)) for _ in range(20))):
        facts = path.stat()
        content[at] ^= 1 << chosen.randrange(8)
        path.write_bytes(content)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        check(read(tmp_path, path), bytes(content))


@pytest.mark.usefixtures("libraries")
def test_a_new_file_with_known_contents_is_known_after_its_first_chunk(tmp_path: Path) -> None:
    content = random.Random(6).randbytes(24 * MIB)
    (tmp_path / "epoch-1").write_bytes(content)
    read(tmp_path, tmp_path / "epoch-1")
    (tmp_path / "epoch-2").write_bytes(content)
    assert check(read(tmp_path, tmp_path / "epoch-2"), content) < 2 * MIB


def test_without_a_library_for_fingerprints_all_is_hashed(tmp_path: Path) -> None:
    content = random.Random(7).randbytes(8 * MIB)
    (tmp_path / "model.bin").write_bytes(content)
    read(tmp_path, tmp_path / "model.bin")
    (tmp_path / "model.bin").write_bytes(new := changed(content, 4 * MIB, b"new", instead_of=3))
    assert check(read(tmp_path, tmp_path / "model.bin"), new) == len(content)


def test_only_the_agents_own_actions_are_told_where_its_libraries_lie(tmp_path: Path) -> None:
    (folder,) = find_libraries(bundled("actions") / "keep").values()
    assert (Path(folder) / "cryptography").is_dir()
    assert not find_libraries(tmp_path)
