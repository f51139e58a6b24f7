"""References, paths and the digest of a dataset's version."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import UsageError
from agent.spec.dataset import (
    DatasetRef,
    ManifestDigest,
    ManifestFile,
    check_file,
    check_path,
    check_tag,
    read_ref,
    version_number,
)

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def digest_of(paths: list[str], *, mode: str = "644") -> str:
    manifest = ManifestDigest()
    for path in sorted(paths, key=str.encode):
        manifest.add(ManifestFile(path, 0, EMPTY, mode))
    return manifest.text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("images", DatasetRef("images", "latest")),
        ("images:latest", DatasetRef("images", "latest")),
        ("images:3", DatasetRef("images", "3")),
        ("images:best", DatasetRef("images", "best")),
    ],
)
def test_a_reference_is_a_name_and_perhaps_a_version(text: str, expected: DatasetRef) -> None:
    assert read_ref(text) == expected
    assert read_ref(str(expected)) == expected


@pytest.mark.parametrize("text", ["", ":3", "images:"])
def test_half_a_reference_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="names no dataset"):
        read_ref(text)


def test_a_version_is_a_number_or_a_tag_never_both() -> None:
    assert [version_number(text) for text in ("3", "007", "latest", "v3", "", "-1", "1" * 19)] == [
        *(3, 7),
        *([None] * 5),
    ]
    assert check_tag("v3.1-best") == "v3.1-best"
    for tag in ("3", "latest", "", ".x", "a b", "x" * 129):
        with pytest.raises(UsageError):
            check_tag(tag)


@pytest.mark.parametrize("path", ["a", "a/b.txt", ".hidden", "größe/模型.bin", "a b", "x" * 255])
def test_a_path_stays_in_its_folder(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "a/",
        "./a",
        "a\nb",
        "a\x00b",
        "x" * 256,
        "\udcff",
        "a/" * 600,
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(UsageError):
        check_path(path)


def test_a_file_has_a_known_mode_and_a_digest() -> None:
    assert check_file(ManifestFile("a", 0, EMPTY)).mode == "644"
    for wrong in (
        ManifestFile("a", 0, EMPTY, "4755"),
        ManifestFile("a", -1, EMPTY),
        ManifestFile("a", 0, "md5:0"),
    ):
        with pytest.raises(UsageError, match="no file of a dataset"):
            check_file(wrong)


def test_the_digest_is_of_paths_modes_sizes_and_contents() -> None:
    assert digest_of([]) == EMPTY
    assert digest_of(["a", "b"]) == digest_of(["b", "a"])
    assert len({digest_of(["a"]), digest_of(["b"]), digest_of(["a"], mode="755"), digest_of(["a", "b"])}) == 4


def test_a_path_twice_or_below_a_file_is_no_tree() -> None:
    for paths in (["a", "a"], ["a", "a/b"], ["a", "a-b", "a/b"], ["a/b", "a/b-c", "a/b/c/d"]):
        with pytest.raises(UsageError):
            digest_of(paths)
    digest_of(["a-b", "a/b", "a/c", "ab/c", "a0"])


_part = st.text("ab-/.", min_size=1, max_size=8).filter(lambda text: all(text.split("/")))


@given(st.lists(_part, unique=True, max_size=12))
def test_the_tree_check_agrees_with_a_slow_obvious_one(paths: list[str]) -> None:
    is_tree = not any(other.startswith(path + "/") for path in paths for other in paths)
    try:
        digest_of(paths)
    except UsageError:
        assert not is_tree
    else:
        assert is_tree
