"""A syntax tree and contexts into a value.

Recursion is safe here: the parser bounds a tree's depth. `&&`, `||` and `case` evaluate only the operands they need,
as the runner does. Memory is counted by the runner's rough measure, so that a few characters cannot grow into gigabytes.

Source: runner `Expressions2/Sdk/{ExpressionNode,EvaluationMemory}.cs`, `Sdk/Operators/Index.cs`, `Sdk/Functions/Case.cs`.
"""

from collections.abc import Callable, Mapping, Sequence
from math import floor, isfinite
from typing import Final

from agent.flow.expressions.budget import CostError, open_budget
from agent.flow.expressions.errors import ExpressionError, ResultTooLargeError
from agent.flow.expressions.functions import BUILTINS, CASE, MAX_ARGUMENTS, FunctionInfo
from agent.flow.expressions.nodes import (
    Comparison,
    Expression,
    FunctionCall,
    Index,
    Literal,
    Logical,
    NamedValue,
    Node,
    Not,
)
from agent.flow.expressions.parser import parse
from agent.flow.expressions.values import (
    FilteredArray,
    is_array,
    is_less,
    is_primitive,
    is_truthy,
    look_up,
    loose_equal,
    to_number,
    to_text,
)

# What the runner grants a template or a condition. GitHub's bare expression library defaults to a tenth of it.
MAX_BYTES: Final = 10 * 1024 * 1024

_OBJECT_BYTES = 24
_STRING_BYTES = 26
_POINTER_BYTES = 8
_LONGEST_SHOWN = 120
_MAX_INDEX = 2**31 - 1
_MISSING = object()

_COMPARE: Mapping[str, Callable[[object, object], bool]] = {
    "==": loose_equal,
    "!=": lambda left, right: not loose_equal(left, right),
    "<": is_less,
    "<=": lambda left, right: loose_equal(left, right) or is_less(left, right),
    ">": lambda left, right: is_less(right, left),
    ">=": lambda left, right: loose_equal(left, right) or is_less(right, left),
}


def evaluate(
    expression: Expression | str,
    contexts: Mapping[str, object],
    functions: Mapping[str, Callable[..., object]] | None = None,
    *,
    max_bytes: int = MAX_BYTES,
) -> object:
    """The value of `expression`; a str is parsed with exactly the names that are given here.

    `functions` are called with their evaluated arguments. Context and function names are case-insensitive; a context
    that is missing is null. Draws on the open budget (budget.py). Raises ExpressionError.
    """
    functions = functions or {}
    text = expression if isinstance(expression, str) else expression.text
    try:
        if isinstance(expression, str):
            expression = _read(expression, contexts, functions)
        if expression.root is None:
            return None
        return _Evaluation(contexts, functions, max_bytes).evaluate(expression.root, 0)
    except ResultTooLargeError:
        complaint = "The maximum allowed memory size was exceeded while evaluating the following expression"
        raise ExpressionError("evaluation", f"{complaint}: {text}") from None
    except CostError as error:
        raise CostError("evaluation", error.message, where=_shorten(text)) from None


def _read(text: str, contexts: Mapping[str, object], functions: Mapping[str, object]) -> Expression:
    def read() -> Expression:
        known = {name: FunctionInfo(name, 0, MAX_ARGUMENTS) for name in functions}
        return parse(text, contexts=contexts, functions=known)

    budget = open_budget()
    if budget is None:
        return read()
    return budget.read_expression(text, (frozenset(contexts), frozenset(functions)), read)


class _Evaluation:
    def __init__(
        self, contexts: Mapping[str, object], functions: Mapping[str, Callable[..., object]], max_bytes: int
    ) -> None:
        self._contexts = contexts
        self._functions = functions
        self._max_bytes = max_bytes
        self._budget = open_budget()
        self._bytes_at: list[int] = []  # what each level of the tree holds
        self._bytes = 0

    def evaluate(self, node: Node, level: int) -> object:
        self._spend(steps=1)
        value = self._compute(node, level)
        # A primitive that was computed holds nothing of what it was computed from; one out of a context may.
        is_stored = isinstance(node, (NamedValue, Index))
        self._charge(
            level, _measure(value, is_stored=is_stored), frees_deeper=not is_stored and is_primitive(value)
        )
        return value

    def _compute(self, node: Node, level: int) -> object:
        match node:
            case Literal(value):
                return value
            case NamedValue(name):
                return self._look_up(self._contexts, name)
            case Index(base, key):
                return self._index(self.evaluate(base, level + 1), key, level + 1)
            case Not(operand):
                return not is_truthy(self.evaluate(operand, level + 1))
            case Comparison(operator, left, right):
                return self._compare(
                    operator, self.evaluate(left, level + 1), self.evaluate(right, level + 1)
                )
            case Logical(operator, operands):
                return self._join(operands, level + 1, stops_at=operator == "||")
            case FunctionCall(name, arguments):
                return self._call(name.lower(), arguments, level + 1)

    def _spend(self, *, characters: int = 0, steps: int = 0) -> None:
        if self._budget is not None:
            self._budget.spend(characters=characters, steps=steps)

    def _compare(self, operator: str, left: object, right: object) -> bool:
        self._spend(characters=sum(len(side) for side in (left, right) if isinstance(side, str)))
        return _COMPARE[operator](left, right)

    def _look_up(self, mapping: Mapping[str, object], key: str, default: object = None) -> object:
        if key not in mapping:
            self._spend(steps=len(mapping))  # each name is held against it
        return look_up(mapping, key, default)

    def _join(self, operands: Sequence[Node], level: int, *, stops_at: bool) -> object:
        """The first operand that is truthy (or falsy), else the last one."""
        value: object = None
        for operand in operands:
            value = self.evaluate(operand, level)
            if is_truthy(value) is stops_at:
                break
        return value

    def _call(self, name: str, arguments: Sequence[Node], level: int) -> object:
        if name == CASE.name:
            return self._choose(arguments, level)
        values = [self.evaluate(argument, level) for argument in arguments]
        if name in BUILTINS:
            return self._call_builtin(name, values)
        function = look_up(self._functions, name)
        if not callable(function):
            raise ExpressionError("evaluation", f"Unrecognized function: '{name}'")
        return function(*values)

    def _call_builtin(self, name: str, values: Sequence[object]) -> object:
        call, most = BUILTINS[name][1], self._max_bytes // 2
        if self._budget is None:
            return call(values, most)
        if name == "tojson":
            return self._budget.write_json(values[0], most, lambda value, most: str(call([value], most)))
        if name == "fromjson" and isinstance(values[0], str):
            self._budget.read_json(values[0])
        self._spend(characters=sum(map(_count_characters, values)), steps=sum(map(_count_items, values)))
        result = call(values, most)
        self._spend(characters=_count_characters(result))
        return result

    def _choose(self, arguments: Sequence[Node], level: int) -> object:
        """case(predicate, value, ..., default)."""
        for predicate, result in zip(arguments[:-1:2], arguments[1::2], strict=True):
            holds = self.evaluate(predicate, level)
            if not isinstance(holds, bool):
                raise ExpressionError("evaluation", "case predicate must evaluate to a boolean value")
            if holds:
                return self.evaluate(result, level)
        return self.evaluate(arguments[-1], level)

    def _index(self, base: object, key: Node | None, level: int) -> object:
        if is_primitive(base):
            return FilteredArray() if key is None else None
        if key is None:
            self._spend(steps=_count_filtered(base))
            return _filter(base)
        index = self.evaluate(key, level)
        if isinstance(base, FilteredArray):
            self._spend(steps=len(base))
            found = (self._get(item, index, _MISSING) for item in base)
            return FilteredArray(item for item in found if item is not _MISSING)
        return self._get(base, index, None)

    def _get(self, base: object, index: object, default: object) -> object:
        if isinstance(base, Mapping):
            return self._look_up(base, to_text(index), default) if is_primitive(index) else default
        return _get_item(base, index, default)

    def _charge(self, level: int, size: int, *, frees_deeper: bool) -> None:
        if frees_deeper and len(self._bytes_at) > level + 1:
            self._bytes -= sum(self._bytes_at[level + 1 :])
            del self._bytes_at[level + 1 :]
        while len(self._bytes_at) <= level:
            self._bytes_at.append(0)
        self._bytes_at[level] += size
        self._bytes += size
        if self._bytes > self._max_bytes:
            raise ResultTooLargeError


def _count_characters(value: object) -> int:
    if isinstance(value, str):
        return len(value)
    return sum(len(item) for item in value if isinstance(item, str)) if is_array(value) else 0


def _count_items(value: object) -> int:
    return 0 if is_primitive(value) else len(value)  # type: ignore[arg-type]


def _count_filtered(base: object) -> int:
    return sum(map(_count_items, base)) if isinstance(base, FilteredArray) else _count_items(base)


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _measure(value: object, *, is_stored: bool) -> int:
    size = _OBJECT_BYTES if is_stored and is_primitive(value) else 0
    if isinstance(value, str):
        return size + _STRING_BYTES + 2 * len(value)
    if isinstance(value, FilteredArray):
        return size + _OBJECT_BYTES + _POINTER_BYTES * len(value)
    return size + _OBJECT_BYTES


def _filter(base: object) -> FilteredArray:
    """`base.*`: the items of an array or the values of an object, and of a filtered array those of its items."""
    if isinstance(base, FilteredArray):
        return FilteredArray(value for item in base for value in _list_items(item))
    return FilteredArray(_list_items(base))


def _list_items(value: object) -> Sequence[object]:
    if is_array(value):
        return value
    return list(value.values()) if isinstance(value, Mapping) else ()


def _get_item(base: object, index: object, default: object) -> object:
    if not is_array(base):
        return default
    number = to_number(index)
    if not isfinite(number) or number < 0 or number > _MAX_INDEX:
        return default
    return base[floor(number)] if floor(number) < len(base) else default
