"""`strategy`: how a job multiplies, and what can be told about its matrix before it runs.

Rules and words from actions/runner `WorkflowTemplateConverter.ConvertToStrategy` and `MatrixBuilder`.
"""

from agent.flow.dialects.github.parts import (
    holds_expression,
    inner_expression,
    is_expression,
    list_fields,
    list_pairs,
    member_of,
    template_of,
)
from agent.flow.model import Strategy
from agent.flow.reading import Reader
from agent.flow.source import Mapping, Node, Sequence, key_text

MAX_MATRIX_JOBS = 256
_RULES = ("include", "exclude")


def read_strategy(reader: Reader, node: Node | None) -> Strategy:
    """`strategy` as written; its matrix is expanded when the job's needs are done."""
    fields = list_fields(node)
    matrix = fields.get("matrix")
    if isinstance(matrix, Mapping):
        _check_matrix(reader, matrix)
    written = Strategy(
        template_of(matrix),
        template_of(fields.get("fail-fast"), default=True),
        template_of(fields.get("max-parallel")),
    )
    inserted = node if is_expression(node) else _find_inserted(node)
    return written if inserted is None else _join_inserted(written, fields, inserted)


def _find_inserted(node: Node | None) -> Node | None:
    return next(
        (value for key, value in list_pairs(node) if is_expression(key) and is_expression(value)), None
    )


def _join_inserted(written: Strategy, fields: dict[str, Node], inserted: Node) -> Strategy:
    """The strategy where one expression stands for what is not written out."""
    fail_fast = (
        f"${{{{ toJSON(({inner_expression(inserted)})['fail-fast']) != 'false' }}}}"  # true unless said
    )
    return Strategy(
        written.matrix if "matrix" in fields else member_of(inserted, "matrix"),
        written.fail_fast if "fail-fast" in fields else fail_fast,
        written.max_parallel if "max-parallel" in fields else member_of(inserted, "max-parallel"),
    )


def _check_matrix(reader: Reader, matrix: Mapping) -> None:
    vectors: dict[str, Node] = {}
    has_expression_key = any(is_expression(key) for key, _ in matrix.pairs)
    for key, value in matrix.pairs:
        name = key_text(key)
        if name in _RULES or is_expression(key):
            continue
        vectors[name] = value
        if isinstance(value, Sequence) and not value.items:
            reader.report(value, f"Matrix vector '{name}' does not contain any values")
    fields = list_fields(matrix)
    include = fields.get("include")
    has_include = include is not None and (not isinstance(include, Sequence) or bool(include.items))
    if not vectors and not has_include and not has_expression_key:
        reader.report(matrix, "Matrix must define at least one vector")
    if not holds_expression(matrix):
        _check_rules(reader, fields, vectors)


def _check_rules(reader: Reader, fields: dict[str, Node], vectors: dict[str, Node]) -> None:
    """What only a matrix without expressions can be told."""
    names = {name.lower() for name in vectors}
    for item in _list_cells(fields.get("include")):
        if not item.pairs:
            reader.report(item, "Matrix include mapping does not contain any values")
    for item in _list_cells(fields.get("exclude")):
        if not item.pairs:
            reader.report(item, "Matrix exclude filter must not be empty")
        for key, _ in list_pairs(item):
            if key_text(key).lower() not in names:
                reader.report(
                    key, f"Matrix exclude key '{key_text(key)}' does not match any key within the matrix"
                )
    size = 1
    for value in vectors.values():
        size *= len(value.items) if isinstance(value, Sequence) else 1
    if size > MAX_MATRIX_JOBS and vectors and "exclude" not in fields:
        reader.report(
            next(iter(vectors.values())),
            f"The matrix makes {size} jobs; {MAX_MATRIX_JOBS} are the most",
        )


def _list_cells(node: Node | None) -> list[Mapping]:
    return [item for item in node.items if isinstance(item, Mapping)] if isinstance(node, Sequence) else []
