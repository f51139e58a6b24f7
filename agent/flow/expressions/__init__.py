"""The expression language of `${{ }}` and `if:`. Pure: status functions and hashFiles are handed in by callers."""

from agent.flow.expressions.condition import HASH_FILES, STATUS_FUNCTIONS, to_condition
from agent.flow.expressions.errors import ErrorKind, ExpressionError
from agent.flow.expressions.evaluate import MAX_BYTES, evaluate
from agent.flow.expressions.functions import BUILTINS, FunctionInfo
from agent.flow.expressions.json_text import to_json_text
from agent.flow.expressions.nodes import (
    Call,
    Comparison,
    Expression,
    Index,
    Literal,
    Logical,
    NamedValue,
    Node,
    Not,
    called_functions,
    member_paths,
    named_values,
    walk,
)
from agent.flow.expressions.parser import MAX_DEPTH, MAX_LENGTH, parse
from agent.flow.expressions.template import (
    INSERT,
    TemplatePiece,
    evaluate_template,
    evaluate_text,
    has_expression,
    split_template,
)
from agent.flow.expressions.values import (
    CaseSensitive,
    FilteredArray,
    Kind,
    fold_case,
    is_truthy,
    kind_of,
    loose_equal,
    to_number,
    to_text,
)

__all__ = [
    "BUILTINS",
    "HASH_FILES",
    "INSERT",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_LENGTH",
    "STATUS_FUNCTIONS",
    "Call",
    "CaseSensitive",
    "Comparison",
    "ErrorKind",
    "Expression",
    "ExpressionError",
    "FilteredArray",
    "FunctionInfo",
    "Index",
    "Kind",
    "Literal",
    "Logical",
    "NamedValue",
    "Node",
    "Not",
    "TemplatePiece",
    "called_functions",
    "evaluate",
    "evaluate_template",
    "evaluate_text",
    "fold_case",
    "has_expression",
    "is_truthy",
    "kind_of",
    "loose_equal",
    "member_paths",
    "named_values",
    "parse",
    "split_template",
    "to_condition",
    "to_json_text",
    "to_number",
    "to_text",
    "walk",
]
