"""Dockerfiles: which images they are made of, and the same file with digests in the place of tags.

What is understood is what can be known without building: `FROM name` and `COPY --from=name` on one line each, with the
defaults of the `ARG`s before the first `FROM`; actions' Dockerfiles are built without arguments. Everything else is *open*: named,
and left as it is. Not looked at: `RUN --mount=from=`, `# syntax=` (the builder's own image), `ONBUILD` of a base.

Source: the Dockerfile reference of docs.docker.com.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_FROM = re.compile(r"\s*FROM\s+(?:--\S+\s+)*(?P<image>[^\s\\]+)(?:\s+AS\s+(?P<stage>\S+))?\s*", re.IGNORECASE)
_COPY = re.compile(r"\s*COPY\s+(?:--\S+\s+)*?--from=(?P<image>[^\s\\]+)\s.*", re.IGNORECASE | re.DOTALL)
_ARG = re.compile(r"\s*ARG\s+(?P<name>\w+)=(?P<value>[\"']?[^\s\"'\\]*[\"']?)\s*", re.IGNORECASE)
_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)\s")
_HEREDOC = re.compile(r"<<-?[\"']?(\w+)[\"']?")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S)\s*", re.IGNORECASE)
_NOTHING = "scratch"


@dataclass(frozen=True, slots=True)
class Base:
    """An image that a Dockerfile names."""

    image: str  # as it is meant: variables are replaced; as it is written where it is open
    line: int  # the first is 1
    start: int  # where the name is written in the text
    end: int
    is_open: bool = False  # only the build knows which image it is


def list_bases(text: str) -> list[Base]:
    """The images in the order of their lines; stages of the file itself and `scratch` are none."""
    return list(_read(text))


def replace_bases(text: str, settle: Callable[[str], str]) -> str:
    """`text` with `settle(image)` in the place of each image that is known."""
    for base in reversed(list_bases(text)):
        settled = base.image if base.is_open else settle(base.image)
        if settled != base.image:
            text = text[: base.start] + settled + text[base.end :]
    return text


def _read(text: str) -> Iterator[Base]:
    arguments: dict[str, str] = {}
    stages: set[str] = set()
    for number, start, line in _list_instructions(text):
        if (found := _ARG.fullmatch(line)) and not stages:
            arguments[found["name"]] = found["value"].strip("\"'")
        instruction = _INSTRUCTION.match(line)
        name = instruction[1].upper() if instruction else ""
        if name == "FROM" or (name == "COPY" and "--from=" in line):
            found = (_FROM if name == "FROM" else _COPY).fullmatch(line)
            yield from _describe(found, line, number, start, arguments, stages)
        if name == "FROM":
            stages.add((found["stage"] or str(len(stages))).lower() if found else str(len(stages)))


def _describe(
    found: re.Match[str] | None,
    line: str,
    number: int,
    start: int,
    arguments: dict[str, str],
    stages: set[str],
) -> Iterator[Base]:
    if found is None:  # over several lines, or no Dockerfile at all
        yield Base(" ".join(line.split()), number, start, start + len(line), is_open=True)
        return
    written = found["image"]
    image = _VARIABLE.sub(lambda name: arguments.get(name[1] or name[2], name[0]), written)
    if image.lower() in stages or image.isdigit() or image.lower() == _NOTHING or "@" in image:
        return
    place = start + found.start("image"), start + found.end("image")
    is_open = "$" in image or not image or image.startswith("--")
    yield Base(written if is_open else image, number, *place, is_open=is_open)


def _list_instructions(text: str) -> Iterator[tuple[int, int, str]]:
    """(line number, where it begins, the whole instruction with its lines) of each; comments and here-documents are none."""
    escape, number, place = "\\", 0, 0
    lines = text.splitlines(keepends=True)
    while number < len(lines):
        first, begin, line = number + 1, place, lines[number]
        number, place = number + 1, place + len(line)
        if line.lstrip().startswith("#"):
            found = _ESCAPE.fullmatch(line)
            escape = found[1] if found else escape
            continue
        while _goes_on(line, escape) and number < len(lines):
            line += lines[number]
            place += len(lines[number])
            number += 1
        if line.strip():
            yield first, begin, line
        for end in _HEREDOC.findall(line) if re.match(r"\s*(?:RUN|COPY|ADD)\s", line, re.IGNORECASE) else ():
            while number < len(lines) and lines[number].strip() != end:
                place += len(lines[number])
                number += 1
            if number < len(lines):
                place += len(lines[number])
                number += 1


def _goes_on(line: str, escape: str) -> bool:
    last = line.splitlines()[-1].strip() if line.strip() else ""
    return last.endswith(escape) or (last.startswith("#") and "\n" in line.rstrip("\n"))
