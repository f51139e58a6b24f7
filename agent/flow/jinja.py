"""Templates as Jinja writes them between `${{` and `}}`, turned into expressions: paths and literals, and no more.

    path     = steps.NAME.output.KEY | jobs.NAME.outputs.KEY | NAME ( .NAME | .NUMBER | [NUMBER] | ['TEXT'] | ["TEXT"] )*
    literal  = NUMBER | 'TEXT' | "TEXT" | true | false | none

A step's or job's NAME may hold spaces. What else Jinja has (blocks, comments, filters, operators, calls) is refused with a
sentence: a template decides nothing and computes nothing, actions do.
"""

import re
from typing import Final, NamedTuple

from agent.flow.expressions import ExpressionError, has_expression, split_template

_BLOCKS: Final = (
    (
        re.compile(r"\$\{%.*?%\}", re.DOTALL),
        "a block, `${% %}`, can't stand here",
        "decide in an action, or with the step's `if`",
    ),
    (
        re.compile(r"\$\{#.*?#\}", re.DOTALL),
        "a comment, `${# #}`, can't stand here",
        "write it as YAML's: # ...",
    ),
)
_HINT: Final = "a path such as `variable.sum` or `steps.add.output.sum` may stand here, or a literal; compute in an action"
_NAME: Final = r"[A-Za-z_][\w-]*"
_TEXT: Final = r"'[^'\\]*'|\"[^\"\\]*\""
_STEP: Final = re.compile(r"steps\.(?P<name>[^}\[\]'\"|()]+?)\.outputs?\.(?P<rest>.+)", re.DOTALL)
_JOB: Final = re.compile(r"jobs\.(?P<name>[^}\[\]'\"|()]+?)\.outputs?\.(?P<rest>.+)", re.DOTALL)
_INPUTS: Final = re.compile(r"inputs(?=[.\[])")
_PART: Final = re.compile(
    rf"\.(?P<name>{_NAME})|\.(?P<place>\d+)|\[\s*(?P<index>\d+)\s*\]|\[\s*(?P<text>{_TEXT})\s*\]"
)
_HEAD: Final = re.compile(_NAME)
_NUMBER: Final = re.compile(r"-?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?")
_WORDS: Final = {
    "true": "true", "True": "true", "false": "false", "False": "false",
    "none": "null", "None": "null", "null": "null",
}  # fmt: skip


class Translated(NamedTuple):
    """A text with expressions for its templates; or what is wrong with it, and what to do."""

    text: str
    complaint: str = ""
    hint: str = ""

    @property
    def roots(self) -> frozenset[str]:
        """The contexts that its paths begin with."""
        pieces = split_template(self.text) if has_expression(self.text) else []
        heads = (_HEAD.match(piece.text) for piece in pieces if piece.is_expression)
        return frozenset(head[0] for head in heads if head and head[0] not in _WORDS.values())


def translate_text(text: str, *, is_shell: bool = False) -> Translated:
    """`text` with an expression of ours for each of its templates. In a shell's text `${#NAME}` is the shell's."""
    for block, complaint, hint in () if is_shell else _BLOCKS:
        if block.search(text):
            return Translated(text, complaint, hint)
    if not has_expression(text):
        return Translated(text)
    try:
        pieces = split_template(text)
    except ExpressionError as error:
        return Translated(text, error.message)
    parts: list[str] = []
    for piece in pieces:
        if not piece.is_expression:
            parts.append(piece.text)
            continue
        expression = translate_expression(piece.text)
        if expression is None:
            return Translated(text, f"`{_shorten(piece.text)}` is neither a path nor a literal", _HINT)
        parts.append(f"${{{{ {expression} }}}}")
    return Translated("".join(parts))


def translate_expression(text: str) -> str | None:
    """The expression for what stands between the braces; None for what is neither a path nor a literal."""
    if text in _WORDS:
        return _WORDS[text]
    if _NUMBER.fullmatch(text):
        return text
    if re.fullmatch(_TEXT, text):
        return _quote(text[1:-1])
    for pattern, context in ((_STEP, "steps"), (_JOB, "needs")):
        match = pattern.fullmatch(text)
        if match:
            rest = _read_parts(f".{match['rest']}")
            member = "output" if context == "steps" else "outputs"
            return None if rest is None else f"{context}[{_quote(match['name'].strip())}].{member}{rest}"
    text = _INPUTS.sub("input", text, count=1) if text.startswith("inputs") else text
    head = _HEAD.match(text)
    rest = _read_parts(text[head.end() :]) if head else None
    return None if head is None or rest is None else f"{head[0]}{rest}"


def _read_parts(text: str) -> str | None:
    """The members that a path follows, in our words."""
    parts: list[str] = []
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            return None
        if match["name"]:
            parts.append(f".{match['name']}")
        elif match["text"]:
            parts.append(f"[{_quote(match['text'][1:-1])}]")
        else:
            parts.append(f"[{match['place'] or match['index']}]")
        position = match.end()
    return "".join(parts)


def _quote(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"'{quoted}'"


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"
