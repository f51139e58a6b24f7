"""`${{ NAME }}` in a workflow, made into templates of the model.

| written | is |
| --- | --- |
| `${{ batch-size }}` | a variable: an input of the run |
| `${{ run.args }}` | the arguments of the run, quoted as a shell wants them: an input, too |
| `${{ run.name }}` | the run's readable name |
| `${{ secrets.NAME }}` | a secret |
| `$${{` | the four characters `${{`, less the first dollar |

There are no other expressions. Source: dstack 0.7 `utils/interpolator.py`; documentation of variables, mid 2022.
"""

import re
from collections.abc import Iterator
from collections.abc import Mapping as Names
from typing import Final

from agent.flow.dialects.dstack.contexts import ARGS
from agent.flow.members import find_close
from agent.flow.reading import Reader
from agent.flow.source import Mapping, Node, Scalar, Sequence

_RUN: Final = {ARGS: f"inputs['{ARGS}']", "run.name": "run.name"}
_VARIABLE: Final = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
_SECRET: Final = re.compile(r"secrets\.([A-Za-z_]\w*)", re.ASCII)
_OPEN, _CLOSE = "${{", "}}"
_ESCAPED: Final = "$" + _OPEN


class Interpolation:
    """Reads the nodes of one workflow; `templates` are those of its variables, by name."""

    def __init__(self, reader: Reader, templates: Names[str, str]) -> None:
        self._reader = reader
        self._templates = templates
        self.unknown: dict[
            str, Scalar
        ] = {}  # variables that nobody has declared, each where it is read first
        self.reads_args = False

    def translate(self, node: Node) -> Node:
        """The node with templates of the model in it; keys of mappings stay as they are."""
        if isinstance(node, Sequence):
            translated = [self.translate(item) for item in node.items]
            if all(new is old for new, old in zip(translated, node.items, strict=True)):
                return node
            items = Sequence(node.file, node.line, node.column)
            items.items = translated
            return items
        if isinstance(node, Mapping):
            values = [self.translate(value) for _, value in node.pairs]
            if all(new is old for new, (_, old) in zip(values, node.pairs, strict=True)):
                return node
            pairs = Mapping(node.file, node.line, node.column)
            pairs.pairs = [(key, value) for (key, _), value in zip(node.pairs, values, strict=True)]
            return pairs
        assert isinstance(node, Scalar)
        if not isinstance(node.value, str) or _OPEN not in node.value:
            return node
        text = "".join(self._translate_text(node, node.value))
        return Scalar(node.file, node.line, node.column, text, node.text, is_plain=node.is_plain)

    def _translate_text(self, node: Scalar, text: str) -> Iterator[str]:
        at = 0
        while (start := text.find(_OPEN, at)) >= 0:
            if text[max(at, start - 1) : start] == "$":
                yield text[at : start - 1] + f"{_OPEN} '{_OPEN}' {_CLOSE}"
                at = start + len(_OPEN)
                continue
            yield text[at:start]
            end = text.find(_CLOSE, start)
            if end < 0:
                self._reader.report(
                    node, f"`{_OPEN}` is not closed", f"add `{_CLOSE}`, or write `{_ESCAPED}` for the characters"
                )  # fmt: skip
                return
            yield f"{_OPEN} {self._find(node, text[start + len(_OPEN) : end].strip())} {_CLOSE}"
            at = end + len(_CLOSE)
        yield text[at:]

    def _find(self, node: Scalar, name: str) -> str:
        """The expression that a name stands for."""
        if name in _RUN:
            self.reads_args = self.reads_args or name == ARGS
            return _RUN[name]
        secret = _SECRET.fullmatch(name)
        if secret:
            return f"secrets.{secret[1]}"
        if name in self._templates:
            return self._templates[name]
        if _VARIABLE.fullmatch(name):
            self.unknown.setdefault(name, node)
            return f"inputs['{name}']"
        close = find_close(name, (*_RUN, *self._templates))
        hint = (
            f"did you mean `{close}`?"
            if close
            else "known are variables, run.args, run.name and secrets.NAME"
        )
        self._reader.report(node, f"`{name}` is no name of a variable", hint)
        return "''"
