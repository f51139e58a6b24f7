"""YAML as GitHub reads it: text in, nodes with exact positions out.

PyYAML's parser finds the structure (its C form where it is installed); what a plain scalar *means* is decided here by
YAML 1.2's core schema, because PyYAML's own resolver is YAML 1.1 (`on` would be true, `12:30` a number). Anchors and
aliases are followed; the merge key `<<` is an ordinary key. Hostile input is refused while its events arrive, before
anything is built from it: depth, size, number of nodes and the size after aliases are all counted on the way.

Rules from actions/runner `Sdk/WorkflowParser/Conversion/YamlObjectReader.cs`; positions as eemeli/yaml reports them
(the position of a value is that of its content, behind an anchor or a tag).
"""

import math
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from agent.flow.expressions.values import to_text
from agent.flow.model import Position
from agent.flow.problems import InvalidFlowError, Problem, Severity


class Limits(NamedTuple):
    """What a file may cost; GitHub's own figures."""

    depth: int = 50  # nested lists and mappings
    characters: int = 1024 * 1024
    nodes: int = 50_000  # scalars, starts and ends, aliases counted with what they stand for
    expanded_characters: int = 5 * 1024 * 1024  # of all scalars after aliases: 10 MiB as GitHub keeps them


GITHUB_LIMITS: Final = Limits()


class Node:
    """Anything that stands in the file; `position` is where its content begins."""

    __slots__ = ("column", "file", "line")

    file: str
    line: int
    column: int

    @property
    def position(self) -> Position:
        """Where the node's content begins."""
        return Position(self.file, self.line, self.column)


class Scalar(Node):
    """A single value: None, a bool, an int, a float or text. `text` is what was written, without quotes."""

    __slots__ = ("is_plain", "text", "value")

    def __init__(
        self, file: str, line: int, column: int, value: object, text: str, *, is_plain: bool
    ) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.value = value
        self.text = text
        self.is_plain = is_plain


class Sequence(Node):
    """A list of nodes."""

    __slots__ = ("items",)

    def __init__(self, file: str, line: int, column: int) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.items: list[Node] = []


class Mapping(Node):
    """Pairs of key and value in the file's order; keys may repeat here, whoever reads decides."""

    __slots__ = ("pairs",)

    def __init__(self, file: str, line: int, column: int) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.pairs: list[tuple[Scalar, Node]] = []

    def find(self, key: str) -> Node | None:
        """The value of the first pair whose key is `key`, or None."""
        return next((value for name, value in self.pairs if name.value == key), None)


def read_source(text: str, file: str, *, limits: Limits = GITHUB_LIMITS) -> Node:
    """Read one YAML document for a reader that wants plain data: a key that stands twice is an error here.

    Raises InvalidFlowError, with every problem's position, when the text is not acceptable YAML.
    """
    node, problems = read_nodes(text, file, limits=limits)
    problems = [*problems, *find_repeated_keys(node)]
    if any(problem.severity is Severity.ERROR for problem in problems):
        raise InvalidFlowError(file, problems)
    return node


def read_nodes(text: str, file: str, *, limits: Limits = GITHUB_LIMITS) -> tuple[Node, list[Problem]]:
    """Read one YAML document; repeated keys stay in the nodes, and what is odd but readable comes back as problems.

    Raises InvalidFlowError when no nodes can be made of the text at all.
    """
    if len(text) > limits.characters:
        raise _refuse(
            file, 1, 1, f"The maximum file size of {limits.characters} characters has been exceeded"
        )
    return _Composer(text.removeprefix("\ufeff"), file, limits).compose()


def plain(node: Node) -> object:
    """The node as JSON-like data: dict (keys are text, a later one wins), list, str, int, float, bool, None."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Mapping)
    return {key_text(key): plain(value) for key, value in node.pairs}


def key_text(key: Scalar) -> str:
    """A key as text; YAML lets `1:` and `true:` be keys, GitHub reads them as strings."""
    return key.value if isinstance(key.value, str) else to_text(key.value)


def find_repeated_keys(node: Node) -> list[Problem]:
    """A problem for each key that stands twice in its mapping."""
    problems: list[Problem] = []
    seen_nodes: set[int] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if isinstance(current, Scalar) or id(current) in seen_nodes:
            continue
        seen_nodes.add(id(current))
        if isinstance(current, Sequence):
            waiting.extend(current.items)
        else:
            assert isinstance(current, Mapping)
            names: set[str] = set()
            for key, value in current.pairs:
                name = key_text(key)
                if name in names:
                    problems.append(Problem(key.position, f"'{name}' is already defined"))
                names.add(name)
                waiting.append(value)
    problems.sort(key=lambda problem: (problem.position.line, problem.position.column))
    return problems


# --- what a plain scalar means -------------------------------------------------------------------------------------

_WORDS: Final[dict[str, object]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".inf": math.inf, ".Inf": math.inf, ".INF": math.inf, "+.inf": math.inf, "+.Inf": math.inf, "+.INF": math.inf,
    "-.inf": -math.inf, "-.Inf": -math.inf, "-.INF": -math.inf, ".nan": math.nan, ".NaN": math.nan, ".NAN": math.nan,
}  # fmt: skip
_NUMBER_STARTS: Final = frozenset("+-.0123456789")
_DECIMAL: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", re.ASCII)
_EXACT: Final = 2**53  # GitHub's numbers are doubles; beyond this an int would be more exact than they are


def resolve_plain(text: str) -> object:
    """What an unquoted scalar means in YAML 1.2's core schema: None, a bool, an int, a float, or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if _INTEGER.fullmatch(text):
        if len(text) > 400:  # more digits than any double has: Python refuses to read very long ones
            return -math.inf if text[0] == "-" else math.inf
        prefix = text[:2]
        number = int(text, 16) if prefix == "0x" else int(text, 8) if prefix == "0o" else int(text)
        return number if -_EXACT <= number <= _EXACT else _as_double(number)
    return float(text) if _DECIMAL.fullmatch(text) else text


def _as_double(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


# --- events to nodes -----------------------------------------------------------------------------------------------

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


class _Composer:
    """Builds nodes from events with a stack of its own, so that depth costs no recursion."""

    def __init__(self, text: str, file: str, limits: Limits) -> None:
        self.text = text
        self.file = file
        self.limits = limits
        self.problems: list[Problem] = []
        self.anchors: dict[str, _Anchored | None] = {}  # None: still open
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.has_document = False
        self.nodes = 0
        self.characters = 0

    def compose(self) -> tuple[Node, list[Problem]]:
        from yaml import YAMLError

        try:
            self._follow_events(_make_parser(self.text))
        except YAMLError as error:
            raise InvalidFlowError(self.file, [_explain(error, self.text, self.file)]) from None
        except UnicodeEncodeError as error:
            line = self.text.count("\n", 0, error.start) + 1
            column = error.start - self.text.rfind("\n", 0, error.start)
            raise _refuse(self.file, line, column, "half of a surrogate pair is not a character") from None
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
            raise _refuse(
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
        if event.anchor is not None or event.tag is not None:
            line, column = self._content_position(event, is_empty=is_plain and not text)
        elif is_plain and not text:
            column += self._blanks_behind(mark.index)
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
        self._count(1, 0, mark)
        self._check_depth(len(self.stack) + 1, mark)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        node = kind(self.file, line, column)
        self._refuse_as_key(node)
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
            self._refuse_as_key(node)
            assert isinstance(node, Scalar)
            parent.key = node

    def _refuse_as_key(self, node: Node) -> None:
        if not self.stack or isinstance(node, Scalar):
            return
        parent = self.stack[-1]
        if isinstance(parent.node, Mapping) and parent.key is None:
            outer = parent.node  # `{{ x }}` without quotes and `$` is what people mean by this
            hint = (
                "write `${{ }}`, and quotes where it begins a value"
                if self._is_brace(node)
                else "a key is text"
            )
            raise _refuse(self.file, outer.line, outer.column, "A list or mapping cannot be a key", hint)

    def _is_brace(self, node: Node) -> bool:
        lines = self.text.split("\n", node.line)
        return lines[node.line - 1][node.column - 1 : node.column] == "{"

    def _count(self, nodes: int, characters: int, mark: Any) -> None:
        self.nodes += nodes
        self.characters += characters
        if self.nodes > self.limits.nodes:
            raise _refuse(self.file, mark.line + 1, mark.column + 1, "Maximum YAML nodes exceeded",
                          f"a file may hold {self.limits.nodes} after its aliases are followed")  # fmt: skip
        if self.characters > self.limits.expanded_characters:
            raise _refuse(self.file, mark.line + 1, mark.column + 1, "Maximum object size exceeded")

    def _check_depth(self, depth: int, mark: Any) -> None:
        if depth > self.limits.depth:
            raise _refuse(self.file, mark.line + 1, mark.column + 1, "Maximum object depth exceeded",
                          f"lists and mappings may stand {self.limits.depth} deep")  # fmt: skip

    def _content_position(self, event: Any, *, is_empty: bool) -> tuple[int, int]:
        """The line and column behind a node's anchor and tag."""
        start = event.start_mark
        if is_empty:
            end = event.end_mark
            return end.line + 1, end.column + 1 + self._blanks_behind(end.index)
        match = re.compile(_PROPERTIES).match(self.text, start.index)
        end_index = match.end() if match else start.index
        skipped = self.text[start.index : end_index]
        line = start.line + 1 + skipped.count("\n")
        last_break = self.text.rfind("\n", 0, end_index)
        return line, end_index - last_break

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


def _refuse(file: str, line: int, column: int, message: str, hint: str = "") -> InvalidFlowError:
    return InvalidFlowError(file, [Problem(Position(file, line, column), message, hint)])


# --- what is wrong with the YAML, in words -------------------------------------------------------------------------

_HINTS: Final = (
    ("mapping values are not allowed", "a value with `: ` in it needs quotes, or a line is indented too far"),
    ("cannot start any token", "indent with spaces; quote a value that begins with `@`, a backtick or `%`"),
    ("tab character", "indent with spaces, not tabs"),
    ("could not find expected ':'", "is a `:` missing, or a line of a block not indented?"),
    ("did not find expected key", "check the indentation, and quotes inside a quoted value"),
    ("did not find expected '-' indicator", "the items of a list must begin in the same column"),
    ("did not find expected ',' or", "a `[` or `{` is not closed, or a value in it needs quotes"),
    ("unexpected end of stream", "a quote is not closed"),
    ("unknown escape character", "write the backslash twice, or use single quotes"),
    ("document start", "a flow file holds one document"),
)
_TAGGED: Final = r":\s+!\S"


def _explain(error: Any, text: str, file: str) -> Problem:
    """A YAML error as a problem with a place, and a hint where we know what people meant."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:  # a reader error knows only how many characters came before
        return _explain_character(error, text, file)
    what = str(error.problem or error.context).strip()
    context = str(error.context or "").strip()
    message = f"{what}, {context}" if context and context != what else what
    line_text = text.split("\n", mark.line + 1)[mark.line] if mark.line <= text.count("\n") else ""
    hint = next((hint for part, hint in _HINTS if part in what), "")
    if re.search(_TAGGED, line_text):
        hint = "`!` begins a YAML tag: write the condition as `${{ !... }}`"
    return Problem(Position(file, mark.line + 1, mark.column + 1), f"Not valid YAML: {message}", hint)


def _explain_character(error: Any, text: str, file: str) -> Problem:
    index = next((at for at, char in enumerate(text) if not _is_printable(char)), 0)
    line = text.count("\n", 0, index) + 1
    column = index - text.rfind("\n", 0, index)
    code = ord(text[index]) if text else 0
    reason = getattr(error, "reason", None) or "special characters are not allowed"
    return Problem(
        Position(file, line, column), f"Not valid YAML: {reason}", f"remove the character U+{code:04X}"
    )


def _is_printable(char: str) -> bool:
    code = ord(char)
    return (
        char in "\t\n\r\x85"
        or 0x20 <= code <= 0x7E
        or 0xA0 <= code <= 0xD7FF
        or (0xE000 <= code <= 0xFFFD and code != 0xFEFF)
        or code >= 0x10000
    )
