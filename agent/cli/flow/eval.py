"""`agent flow eval`: one expression, or a file of them, evaluated as GitHub's expression library would.

No status functions and no hashFiles here: they belong to a job, and there is none.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Final, TextIO

from agent.errors import UsageError
from agent.flow.expressions import ExpressionError, evaluate, kind_of, to_json_text, to_text

# The library's own limit; a runner grants ten times as much.
_MAX_BYTES: Final = 1024 * 1024
_MAX_DEPTH: Final = 200  # Python's JSON writer recurses


def run_eval(
    expr: str | None,
    contexts_file: Path | None,
    batch_file: Path | None,
    output_format: str,
    out: TextIO,
) -> int:
    """Evaluate `expr` with the contexts in a JSON file, or each line of `batch_file` (`{"expr", "contexts"}`).

    A batch answers with one JSON object a line whatever the format, and holds its errors in its lines: exit 0. A single
    bad expression: exit 1. UsageError for a file that cannot be read and for wrong arguments.
    """
    if batch_file is not None:
        if expr is not None or contexts_file is not None:
            raise UsageError(
                "--batch takes no expression and no --contexts", hint="each of its lines brings its own"
            )
        for case_expr, contexts in _read_batch(batch_file):
            print(json.dumps(_answer(case_expr, contexts)), file=out)
        return 0
    if expr is None:
        raise UsageError(
            "there is nothing to evaluate", hint="give an expression, or a file of them with --batch"
        )
    contexts = {} if contexts_file is None else _read_contexts(contexts_file)
    return _print_single(expr, contexts, output_format, out)


def _print_single(expr: str, contexts: Mapping[str, object], output_format: str, out: TextIO) -> int:
    answer = _answer(expr, contexts)
    error = answer.get("error")
    if output_format == "json":
        print(json.dumps(answer), file=out)
    elif isinstance(error, dict):
        print(f"agent: {_printable(error['message'])}", file=sys.stderr)
    else:
        value = answer["value"]
        text = to_json_text(value) if isinstance(value, (dict, list)) else to_text(value)
        print(_printable(text), file=out)
    return 0 if error is None else 1


def _answer(expr: str, contexts: Mapping[str, object]) -> dict[str, object]:
    try:
        value = evaluate(expr, contexts, max_bytes=_MAX_BYTES)
        return {"kind": kind_of(value), "value": _plain(value)}
    except ExpressionError as error:
        return {"error": {"kind": error.kind, "message": error.message}}


def _plain(value: object, depth: int = 0) -> object:
    """`value` as JSON can hold it: NaN and the infinities become strings."""
    if depth > _MAX_DEPTH:
        raise ExpressionError("evaluation", "the value is nested too deeply to be printed")
    if isinstance(value, float) and not isfinite(value):
        return to_text(value)
    if isinstance(value, Mapping):
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    return value


def _printable(text: str) -> str:
    """Half a surrogate pair, which fromJSON can make, has no form in UTF-8."""
    return text.encode("utf-8", "replace").decode()


def _read_contexts(path: Path) -> Mapping[str, object]:
    contexts = _parse_json(_read(path), str(path))
    if not isinstance(contexts, dict):
        raise UsageError(
            "the contexts are not a JSON object", where=str(path), hint='write {"github": {...}}'
        )
    return contexts


def _read_batch(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    for number, line in enumerate(_read(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        case = _parse_json(line, where)
        expr = case.get("expr") if isinstance(case, dict) else None
        contexts = (case.get("contexts") or {}) if isinstance(case, dict) else None
        if not isinstance(expr, str) or not isinstance(contexts, dict):
            raise UsageError(
                "the line is not a case", where=where, hint='write {"expr": "...", "contexts": {...}}'
            )
        yield expr, contexts


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise UsageError(
            f"cannot read the file: {reason}", where=str(path), hint="check its path and rights"
        ) from None
    except UnicodeDecodeError:
        raise UsageError("the file is not UTF-8 text", where=str(path), hint="save it as UTF-8") from None


def _parse_json(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UsageError(f"not valid JSON: {reason}", where=where, hint="check it with a JSON tool") from None
