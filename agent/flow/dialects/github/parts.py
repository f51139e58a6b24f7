"""Small readers of tidied nodes: those of all languages, and GitHub's own; each is content with a node of the wrong kind, which has
been reported already.
"""

from types import MappingProxyType

from agent.flow.context_scope import ContextScope
from agent.flow.expressions import ExpressionError, has_expression, split_template
from agent.flow.model import Concurrency, Defaults, Template
from agent.flow.reading import Reader, read_quoted_text
from agent.flow.source import Mapping, Node, Scalar, Sequence, key_text
from agent.flow.tidied import list_fields, list_items, list_pairs, template_of, text_of, texts_of

__all__ = [
    "MAX_GROUP_LENGTH",
    "holds_expression",
    "inner_expression",
    "is_expression",
    "is_quoted_text",
    "list_fields",
    "list_items",
    "list_pairs",
    "map_of",
    "member_of",
    "read_concurrency",
    "read_condition",
    "read_defaults",
    "read_permissions",
    "refuse_expression_keys",
    "template_of",
    "text_of",
    "texts_of",
]

_ALL_PERMISSIONS = MappingProxyType({"read-all": ("read",), "write-all": ("write", "read")})
MAX_GROUP_LENGTH = 400


def is_expression(node: Node | None) -> bool:
    """Whether a node is text with an expression in it."""
    return isinstance(node, Scalar) and isinstance(node.value, str) and has_expression(node.value)


def is_quoted_text(node: Node | None) -> bool:
    """Whether a node is an expression that is nothing but a string: plain text to GitHub."""
    return _quoted_text(text_of(node)) is not None


def holds_expression(node: Node) -> bool:
    """Whether an expression stands anywhere in a node: then only a run can tell what it will be."""
    if isinstance(node, Sequence):
        return any(holds_expression(item) for item in node.items)
    if isinstance(node, Mapping):
        return any(is_expression(key) or holds_expression(value) for key, value in node.pairs)
    return is_expression(node)


def map_of(node: Node | None) -> dict[str, Template]:
    """A mapping as data. One expression for all of it becomes what merges that expression's value."""
    if is_expression(node):
        return {"${{ insert }}": text_of(node)}
    value = template_of(node)
    return value if isinstance(value, dict) else {}


def member_of(node: Node | None, name: str) -> Template:
    """A member of a mapping that is written out or is one expression."""
    if is_expression(node):
        return f"${{{{ ({inner_expression(node)})['{name}'] }}}}"
    return template_of(list_fields(node).get(name))


def read_condition(reader: Reader, node: Node | None, scope: ContextScope) -> str:
    """An `if` in normal form; what is wrong with it is reported."""
    if node is None:
        return "success()"
    text = text_of(node)
    condition = reader.normalize_condition(node, text)
    if not condition:
        return "success()"
    bare = _bare_condition(text)
    if bare:
        reader.check_expression(node, bare, scope)
    elif has_expression(text) and len(split_template(text)) > 1:
        reader.warn(
            node,
            "the condition is text with an expression in it, and any text is true",
            "put the whole condition into one `${{ }}`, or leave the braces out",
        )
    return condition


def read_concurrency(reader: Reader, node: Node | None) -> Concurrency | None:
    """`concurrency`, as a name or in full."""
    if node is None:
        return None
    if isinstance(node, Scalar):
        group: Template = text_of(node)
        cancel: Template = False
        queue = "single"
    else:
        refuse_expression_keys(reader, node)
        fields = list_fields(node)
        group = template_of(fields.get("group"))
        cancel = template_of(fields.get("cancel-in-progress"), default=False)
        queue = text_of(fields.get("queue")) or "single"
        # GitHub's documentation: "not allowed and will result in a workflow validation error". Its open parser
        # (@actions/workflow-parser 0.3.61) does not look; the service does.
        if queue == "max" and cancel is True:
            reader.report(
                fields["queue"],
                "'queue: max' cannot be combined with 'cancel-in-progress: true'",
                "a cancelled member leaves no queue; remove one of the two",
            )
    if isinstance(group, str) and not has_expression(group) and len(group) > MAX_GROUP_LENGTH:
        reader.report(node, "Concurrency group name must be less than 400 characters")
    return Concurrency(group, cancel, queue)


def read_permissions(node: Node | None, levels: dict[str, tuple[str, ...]]) -> dict[str, str] | None:
    """`permissions` by name; `read-all` and `write-all` are written out. `levels` are those that each name knows."""
    if node is None:
        return None
    if isinstance(node, Scalar):
        wanted = _ALL_PERMISSIONS.get(text_of(node), ())
        granted = {
            name: next((level for level in wanted if level in known), "none")
            for name, known in levels.items()
        }
        return {name: level for name, level in granted.items() if level != "none"}
    return {name: text_of(value) for name, value in list_fields(node).items()}


def read_defaults(node: Node | None) -> Defaults:
    """`defaults.run`."""
    run = list_fields(node).get("run")
    return Defaults(member_of(run, "shell"), member_of(run, "working-directory"))


def refuse_expression_keys(reader: Reader, node: Node | None) -> None:
    """Report keys that are expressions where the mapping is read before any expression is evaluated."""
    for key, _ in list_pairs(node):
        if is_expression(key):
            reader.report(key, f"Unexpected value '{key_text(key)}'", "write the key out")


def inner_expression(node: Node | None) -> str:
    """What stands between the braces of a node that is one expression; `null` where it is text around expressions."""
    try:
        pieces = split_template(text_of(node))
    except ExpressionError:
        return "null"  # reported by the reader
    return pieces[0].text if len(pieces) == 1 else "null"


def _bare_condition(text: str) -> str:
    """The expression of an `if` without braces, which the table's reader took for plain text; else nothing."""
    if not has_expression(text):
        return text.strip()
    literal = _quoted_text(text)
    return "" if literal is None else literal.strip()


def _quoted_text(text: str) -> str | None:
    """The text of a template that is one string literal, which GitHub takes for that text; else None."""
    try:
        pieces = split_template(text)
    except ExpressionError:
        return None
    return read_quoted_text(pieces[0].text) if len(pieces) == 1 and pieces[0].is_expression else None
