"""A YAML parser's events into nodes, counting what they cost before anything is built from them.

Positions are those that eemeli/yaml, which GitHub's editors' parser reads with, reports: that of a value is where its
content begins, behind an anchor or a tag.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

from agent.flow.characters import count_wide, has_wide, protect_text, replace_tabs, restore_text
from agent.flow.model import Position
from agent.flow.nodes import Mapping, Node, Scalar, Sequence, resolve_plain
from agent.flow.problems import InvalidFlowError, Problem
from agent.flow.yaml_errors import explain_error, refuse


class YamlLimits(NamedTuple):
    """What a file may cost, where who reads it sets no other bounds."""

    depth: int = 50  # nested lists and mappings
    characters: int = 1024 * 1024
    nodes: int = 50_000  # scalars, starts and ends, aliases counted with what they stand for
    expanded_characters: int = 5 * 1024 * 1024  # of all scalars after aliases


_MOST_SCANNED: Final = 4_000_000  # characters, in all attempts at one file together
_STRING_TAG: Final = "tag:yaml.org,2002:str"
_TAGS: Final[dict[str, tuple[type, ...]]] = {
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:int": (int,),
    "tag:yaml.org,2002:float": (float, int),
    "tag:yaml.org,2002:null": (type(None),),
}
_COLLECTION_TAGS: Final = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_PROPERTIES: Final = r"(?:[&!][^\s,\[\]{}]*|\s+|#[^\n]*)+"  # compiled when a file first has an anchor


class _Open:
    """A list or mapping whose end has not come yet."""

    __slots__ = ("anchor", "characters_before", "height", "items", "key", "node", "nodes_before")

    def __init__(
        self, node: Sequence | Mapping, anchor: str | None, nodes_before: int, characters_before: int
    ) -> None:
        self.node = node
        self.anchor = anchor
        self.nodes_before = nodes_before
        self.characters_before = characters_before
        self.height = 1
        self.key: Scalar | None = None  # whose value comes next
        self.items = node.items if isinstance(node, Sequence) else None


class _Anchored(NamedTuple):
    """What an alias costs: the node, its size and how deep it is."""

    node: Node
    nodes: int
    characters: int
    height: int


def compose(text: str, file: str, limits: YamlLimits) -> tuple[Node, list[Problem]]:
    """The nodes of one document, and what is odd but readable. Raises InvalidFlowError where nothing can be read."""
    from yaml import YAMLError

    wide = has_wide(text)
    scanned = protect_text(text)
    attempts = max(2, min(100, _MOST_SCANNED // (len(text) + 1)))
    first_error: Exception | None = None
    while True:
        composer = _Composer(scanned, file, limits, is_protected=scanned != text, has_wide=wide)
        try:
            return composer.compose()
        except YAMLError as error:
            first_error = first_error or error
            attempts -= 1
            repaired = replace_tabs(scanned, error) if attempts else None
            if repaired is None:
                _measure_before(error, composer)
                raise InvalidFlowError(file, [explain_error(first_error, text, file)]) from None
            scanned = repaired
        except UnicodeEncodeError as error:
            line = text.count("\n", 0, error.start) + 1
            column = error.start - text.rfind("\n", 0, error.start)
            raise refuse(file, line, column, "half of a surrogate pair is not a character") from None


def _measure_before(error: Any, composer: "_Composer") -> None:
    """Raises InvalidFlowError when what stands before a parser's error is over our own limits.

    A parser reads ahead of what it tells, as far as a key may be long (1,024 characters), and may stop there by a bound
    of its own before we hear of what it saw: libyaml 0.2.6 does so at 1,000 lists in one another.
    """
    from yaml import YAMLError

    mark = getattr(error, "problem_mark", None)
    before = composer.text[: mark.index] if mark is not None else ""
    if before.count("[") + before.count("{") > composer.limits.depth:
        with suppress(YAMLError):
            composer.start_over(before).compose()


class _Composer:
    """Builds nodes from events with a stack of its own, so that depth costs no recursion."""

    def __init__(
        self, text: str, file: str, limits: YamlLimits, *, is_protected: bool, has_wide: bool
    ) -> None:
        self.text = text
        self.file = file
        self.limits = limits
        self.is_protected = is_protected
        self.has_wide = has_wide
        self.counted = (0, 0, 0)  # a line, an index in it, and the wide characters of the line before that
        self.problems: list[Problem] = []
        self.anchors: dict[str, _Anchored | None] = {}  # None: still open
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.has_document = False
        self.nodes = 0
        self.characters = 0

    def start_over(self, text: str) -> "_Composer":
        """A composer of the same file with another text."""
        return _Composer(text, self.file, self.limits, is_protected=self.is_protected, has_wide=self.has_wide)

    def compose(self) -> tuple[Node, list[Problem]]:
        """Follow the parser's events to the end."""
        self._follow_events(_make_parser(self.text))
        return self.root or Scalar(self.file, 1, 1, None, "", is_plain=True), self.problems

    def _follow_events(self, parser: Any) -> None:
        from yaml import events

        act: dict[type, Callable[[Any], None]] = {
            events.ScalarEvent: self._add_scalar,
            events.MappingStartEvent: self._open_mapping,
            events.SequenceStartEvent: self._open_sequence,
            events.MappingEndEvent: self._close,
            events.SequenceEndEvent: self._close,
            events.AliasEvent: self._add_alias,
            events.DocumentStartEvent: self._start_document,
            events.DocumentEndEvent: _pass,
            events.StreamStartEvent: _pass,
            events.StreamEndEvent: _pass,
        }
        get_event = parser.get_event
        while (event := get_event()) is not None:
            act[type(event)](event)

    def _start_document(self, event: Any) -> None:
        if self.has_document:
            mark = event.start_mark
            raise refuse(
                self.file,
                mark.line + 1,
                mark.column + 1,
                "Source contains multiple documents",
                "a flow file holds one document; remove `---` and what follows",
            )
        self.has_document = True

    def _open_mapping(self, event: Any) -> None:
        self._open(event, Mapping)

    def _open_sequence(self, event: Any) -> None:
        self._open(event, Sequence)

    def _add_scalar(self, event: Any) -> None:
        mark = event.start_mark
        line, column, text = mark.line + 1, mark.column + 1, event.value
        is_plain = not event.style
        if self.is_protected:
            text = restore_text(text)
        if event.anchor is not None or event.tag is not None:
            line, column = self._content_position(event, is_empty=is_plain and not text)
        elif is_plain and not text:
            column += self._blanks_behind(mark.index)
        if self.has_wide:
            column += self._count_wide(mark)
        self._count(1, len(text), mark)
        value = resolve_plain(text) if is_plain else text
        node = Scalar(self.file, line, column, value, text, is_plain=is_plain)
        if event.tag is not None:
            self._apply_tag(node, event.tag, mark)
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored(node, 1, len(text), 0)
        self._place(node, 0)

    def _apply_tag(self, node: Scalar, tag: str, mark: Any) -> None:
        if tag == _STRING_TAG:
            node.value = node.text
        elif tag not in _TAGS:
            self._report_tag(tag, mark)
        elif not node.is_plain or type(node.value) not in _TAGS[tag]:
            name = tag.rpartition(":")[2]
            self.problems.append(
                Problem(node.position, f"The value '{node.text}' is invalid for the type '{name}'")
            )

    def _report_tag(self, tag: str, mark: Any) -> None:
        hint = "remove it"
        if tag.startswith("!"):
            hint = f"in an expression write it as text: `${{{{ {tag} ... }}}}`; else put it in quotes"
        self.problems.append(
            Problem(Position(self.file, mark.line + 1, mark.column + 1), f"Unexpected tag '{tag}'", hint)
        )

    def _open(self, event: Any, kind: type[Sequence | Mapping]) -> None:
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        if event.anchor is not None or event.tag is not None:
            line, column = self._content_position(event, is_empty=False)
            if event.tag is not None and event.tag not in _COLLECTION_TAGS:
                self._report_tag(event.tag, mark)
        if self.has_wide:
            column += self._count_wide(mark)
        self._count(1, 0, mark)
        self._check_depth(len(self.stack) + 1, mark)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        node = kind(self.file, line, column)
        self._refuse_as_key(node, is_brace=self.text.startswith("{", mark.index))
        self.stack.append(_Open(node, event.anchor, self.nodes - 1, self.characters))

    def _close(self, _event: Any) -> None:
        done = self.stack.pop()
        self.nodes += 1
        if done.anchor is not None:
            self.anchors[done.anchor] = _Anchored(
                done.node,
                self.nodes - done.nodes_before,
                self.characters - done.characters_before,
                done.height,
            )
        self._place(done.node, done.height)

    def _add_alias(self, event: Any) -> None:
        mark = event.start_mark
        anchored = self.anchors.get(event.anchor)
        if anchored is None:
            self._report_alias(event.anchor, mark)
            self._count(1, 0, mark)
            self._place(Scalar(self.file, mark.line + 1, mark.column + 1, None, "", is_plain=True), 0)
            return
        self._count(anchored.nodes, anchored.characters, mark)
        self._check_depth(len(self.stack) + anchored.height, mark)
        self._place(anchored.node, anchored.height)

    def _report_alias(self, name: str, mark: Any) -> None:
        message, hint = f"Unknown anchor '{name}'", "an anchor must stand above its aliases"
        if name in self.anchors:
            message, hint = f"The alias '{name}' contains itself", "copy what it should hold"
        self.problems.append(Problem(Position(self.file, mark.line + 1, mark.column + 1), message, hint))

    def _place(self, node: Node, height: int) -> None:
        """Put a finished node where it belongs: the root, a list, or a pair's key or value."""
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        if height >= parent.height:
            parent.height = height + 1
        if parent.items is not None:
            parent.items.append(node)
        elif parent.key is not None:
            parent.node.pairs.append((parent.key, node))  # type: ignore[union-attr]  # no items: a mapping
            parent.key = None
        else:
            self._refuse_as_key(node, is_brace=False)  # an alias; others were looked at when they began
            assert isinstance(node, Scalar)
            parent.key = node

    def _refuse_as_key(self, node: Node, *, is_brace: bool) -> None:
        if not self.stack or isinstance(node, Scalar):
            return
        parent = self.stack[-1]
        if isinstance(parent.node, Mapping) and parent.key is None:
            outer = parent.node  # `{{ x }}` without quotes and `$` is what people mean by this
            hint = "write `${{ }}`, and quotes where it begins a value" if is_brace else "a key is text"
            raise refuse(self.file, outer.line, outer.column, "A list or mapping cannot be a key", hint)

    def _count(self, nodes: int, characters: int, mark: Any) -> None:
        self.nodes += nodes
        self.characters += characters
        if self.nodes > self.limits.nodes:
            raise refuse(self.file, mark.line + 1, mark.column + 1, "Maximum YAML nodes exceeded",
                          f"a file may hold {self.limits.nodes} after its aliases are followed")  # fmt: skip
        if self.characters > self.limits.expanded_characters:
            raise refuse(self.file, mark.line + 1, mark.column + 1, "Maximum object size exceeded")

    def _check_depth(self, depth: int, mark: Any) -> None:
        if depth > self.limits.depth:
            raise refuse(self.file, mark.line + 1, mark.column + 1, "Maximum object depth exceeded",
                          f"lists and mappings may stand {self.limits.depth} deep")  # fmt: skip

    def _content_position(self, event: Any, *, is_empty: bool) -> tuple[int, int]:
        """The line and column behind a node's anchor and tag."""
        start = event.start_mark
        if is_empty:
            end = event.end_mark
            return end.line + 1, end.column + 1 + self._blanks_behind(end.index)
        match = re.compile(_PROPERTIES).match(self.text, start.index)
        skipped = match[0] if match else ""
        breaks = skipped.count("\n")
        column = len(skipped) - skipped.rindex("\n") if breaks else start.column + len(skipped) + 1
        return start.line + 1 + breaks, column

    def _count_wide(self, mark: Any) -> int:
        """How many characters before a mark, in its line, count as two. Marks only move on: each is counted once."""
        line, index, count = self.counted
        if mark.line != line or mark.index < index:
            index, count = mark.index - mark.column, 0
        count += count_wide(self.text[index : mark.index])
        self.counted = (mark.line, mark.index, count)
        return count

    def _blanks_behind(self, index: int) -> int:
        end = index
        text = self.text
        while end < len(text) and text[end] in " \t":
            end += 1
        return end - index


def _pass(_event: Any) -> None:
    """Nothing is to be done."""


def _make_parser(text: str) -> Any:
    """PyYAML's C parser, or its Python one where PyYAML was built without libyaml."""
    import yaml

    return yaml.CLoader(text) if yaml.__with_libyaml__ else yaml.Loader(text)
