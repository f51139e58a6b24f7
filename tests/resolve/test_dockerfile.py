"""Which images a Dockerfile is made of, and the same file with digests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.resolve.dockerfile import list_bases, replace_bases


def bases(text: str) -> list[tuple[str, int, bool]]:
    return [(base.image, base.line, base.is_open) for base in list_bases(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("FROM python:3.12\n", [("python:3.12", 1, False)]),
        ("from --platform=linux/amd64 python:3.12 as base", [("python:3.12", 1, False)]),
        ("# FROM a\n\nFROM b\n", [("b", 3, False)]),
        ("FROM a AS build\nFROM build\nCOPY --from=build /x /x\n", [("a", 1, False)]),
        ("FROM a\nFROM b\nCOPY --from=0 /x /x\n", [("a", 1, False), ("b", 2, False)]),
        ("FROM scratch\nCOPY --chown=1:1 --from=go:1 /x /x\n", [("go:1", 2, False)]),
        ("ARG V=3.12\nFROM python:${V}-slim\n", [("python:3.12-slim", 2, False)]),
        ('ARG IMAGE="a:1"\nFROM $IMAGE\n', [("a:1", 2, False)]),
        ("FROM a\nARG V=1\nFROM b:$V\n", [("a", 1, False), ("b:$V", 3, True)]),
        ("ARG V\nFROM a:${V:-1}\n", [("a:${V:-1}", 2, True)]),
        ("FROM a@sha256:0\n", []),
        ("FROM \\\n  a\nRUN x\n", [("FROM \\ a", 1, True)]),
        ("FROM a\nRUN echo \\\n  FROM b\n", [("a", 1, False)]),
        ("FROM a\nRUN <<END\nFROM b\nEND\nFROM c\n", [("a", 1, False), ("c", 5, False)]),
        ("# escape=`\nFROM a\nRUN x `\n FROM b\n", [("a", 2, False)]),
        ("", []),
        ("no dockerfile", []),
    ],
)
def test_the_images_that_can_be_known_are_known_and_others_are_open(
    text: str, found: list[tuple[str, int, bool]]
) -> None:
    assert bases(text) == found


def test_digests_take_the_place_of_tags_and_nothing_else_changes() -> None:
    text = "ARG V=1\n# FROM a:1\nFROM a:$V AS b\nRUN echo FROM a:1\nFROM b\nCOPY --from=c:2 /x a:1\n"
    settled = replace_bases(text, lambda image: f"{image}@sha256:0")
    assert settled == (
        "ARG V=1\n# FROM a:1\nFROM a:1@sha256:0 AS b\nRUN echo FROM a:1\nFROM b\nCOPY --from=c:2@sha256:0 /x a:1\n"
    )


def test_a_file_whose_images_are_not_pinned_stays_as_it_is() -> None:
    text = "ARG V=1\nFROM a:$V\n"
    assert replace_bases(text, lambda image: image) == text


@given(st.text(alphabet="FROMCPY fromas-=:$#\\<\nAB1@{}/", max_size=200))
def test_no_text_breaks_the_reader_and_places_are_those_of_the_names(text: str) -> None:
    for base in list_bases(text):
        assert 0 <= base.start <= base.end <= len(text)
        assert text[base.start : base.end]
    assert replace_bases(text, lambda image: image) == text
