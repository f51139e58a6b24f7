"""Chunks: cut by what is in them, so that what has moved is found again; and what is known of files without reading them."""

import os
import random
from pathlib import Path

import pytest
from _toolkit.cutting import LONGEST, SHORTEST, find_cut
from _toolkit.known import Known
from _toolkit.trees import Entry, scan_tree

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
    first.note(entries_of(tree), [("0" * 64, 7)])
    first.save()
    assert Known(str(tmp_path)).find(entries_of(tree)) == [["0" * 64, 7]]
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
    known.note(entries_of(tree), [("0" * 64, 7)])
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
