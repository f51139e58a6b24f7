"""Templates of a file turned into expressions, before the table is asked: what Jinja had beyond paths is refused at its place.

The same pass takes out the keys of jobs and steps that nothing is known of, with a warning: DataTorch's own schema lets them
stand. An `if` is an expression as a whole and is left as it is.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from agent.flow.dialects.datatorch.table.jobs import JOB_FIELDS, STEP_FIELDS
from agent.flow.expressions import has_expression, member_paths, parse, split_template
from agent.flow.jinja import Translated, translate_text
from agent.flow.members import find_close
from agent.flow.nodes import Mapping, Node, Scalar, Sequence, key_text
from agent.flow.reading import Reader
from agent.flow.shapes import Fields

_LEFT: Final = "if"
_NOTHING: Final = "${{ null }}"  # stands for what was refused: nobody has to complain of it twice
_INPUT: Final = "input"
_ITSELF: Final = re.compile(r"\brun(?:\.config|\['config'\]|\s*\}\})", re.IGNORECASE)
_SHORT: Final = 200


@lru_cache(maxsize=2048)
def _translate_short(text: str) -> Translated:
    """The same paths stand in flow after flow."""
    return translate_text(text)


class TidiedNodes(NamedTuple):
    """The nodes, the names that are read of what the flow is started with, and whether the flow reads its own file."""

    root: Node
    inputs_read: dict[str, None]
    reads_itself: bool


def tidy_nodes(reader: Reader, root: Node) -> TidiedNodes:
    """The nodes of a file as the table knows them; what is refused is reported to `reader`."""
    tidier = _Tidier(reader)
    return TidiedNodes(tidier.tidy_root(root), tidier.inputs_read, tidier.reads_itself)


class _Tidier:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._done: dict[int, Node] = {}  # a node may stand behind many aliases
        self.inputs_read: dict[str, None] = {}
        self.reads_itself = False

    def tidy_root(self, root: Node) -> Node:
        if not isinstance(root, Mapping):
            return self._tidy(root)
        result = Mapping(root.file, root.line, root.column)
        for key, value in root.pairs:
            is_jobs = key_text(key) == "jobs" and isinstance(value, Mapping)
            result.pairs.append((key, self._tidy_jobs(value) if is_jobs else self._tidy(value)))
        return result

    def _tidy_jobs(self, node: Node) -> Node:
        assert isinstance(node, Mapping)
        result = Mapping(node.file, node.line, node.column)
        for key, job in node.pairs:
            known = self._drop_unknown(job, JOB_FIELDS)
            if isinstance(known, Mapping):
                known.pairs = [
                    (name, self._tidy_steps(value) if key_text(name) == "steps" else self._tidy(value))
                    for name, value in known.pairs
                ]
            result.pairs.append((key, known))
        return result

    def _tidy_steps(self, node: Node) -> Node:
        if not isinstance(node, Sequence):
            return self._tidy(node)
        result = Sequence(node.file, node.line, node.column)
        for item in node.items:
            step = self._drop_unknown(item, STEP_FIELDS)
            if isinstance(step, Mapping):
                step.pairs = [
                    (key, value if key_text(key) == _LEFT else self._tidy(value)) for key, value in step.pairs
                ]
            result.items.append(step)
        return result

    def _drop_unknown(self, node: Node, fields: Fields) -> Node:
        """A mapping of its own, less the keys that mean nothing here."""
        if not isinstance(node, Mapping):
            return self._tidy(node)
        result = Mapping(node.file, node.line, node.column)
        for key, value in node.pairs:
            name = key_text(key)
            if name in fields.keys or name == "<<":
                result.pairs.append((key, value))
                continue
            close = find_close(name, list(fields.keys))
            hint = f"did you mean `{close}`?" if close else f"known here: {', '.join(fields.keys)}"
            self._reader.warn(key, f"'{name[:80]}' of a {fields.name} means nothing here", hint)
        return result

    def _tidy(self, node: Node) -> Node:
        if isinstance(node, Scalar) and not (isinstance(node.value, str) and "$" in node.value):
            return node
        found = self._done.get(id(node))
        if found is None:
            found = self._done[id(node)] = self._make(node)
        return found

    def _make(self, node: Node) -> Node:
        if isinstance(node, Scalar):
            return self._translate(node)
        if isinstance(node, Sequence):
            items = Sequence(node.file, node.line, node.column)
            items.items = [self._tidy(item) for item in node.items]
            return items
        assert isinstance(node, Mapping)
        pairs = Mapping(node.file, node.line, node.column)
        pairs.pairs = [(self._translate(key), self._tidy(value)) for key, value in node.pairs]
        return pairs

    def _translate(self, node: Scalar) -> Scalar:
        if not isinstance(node.value, str) or "$" not in node.value:
            return node
        translated = _translate_short(node.value) if len(node.value) <= _SHORT else translate_text(node.value)
        if translated.complaint:
            self._reader.report(node, translated.complaint, translated.hint)
            return self._stand_in(node, _NOTHING)
        if translated.text == node.value and not has_expression(node.value):
            return node
        if _INPUT in translated.text:
            self._note_inputs(translated.text)
        if "run" in translated.roots:
            self.reads_itself = self.reads_itself or bool(_ITSELF.search(translated.text))
        return self._stand_in(node, translated.text)

    def _stand_in(self, node: Scalar, text: str) -> Scalar:
        return Scalar(node.file, node.line, node.column, text, node.text, is_plain=False)

    def _note_inputs(self, text: str) -> None:
        for piece in split_template(text):
            if piece.is_expression:
                paths = (path for path in member_paths(parse(piece.text)) if path[0] == _INPUT)
                self.inputs_read.update(dict.fromkeys(path[1] for path in paths if len(path) > 1))
