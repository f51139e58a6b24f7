"""Feed the language room with what a fuzzer makes: `flow` (YAML in, problems out) or `expression`.

The only thing that may come back is what the rooms promise: problems, a flow, or an `ExpressionError`.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports():
    from agent.errors import AgentError
    from agent.flow.expressions import ExpressionError, evaluate, evaluate_template, parse, to_condition
    from agent.flow.load import DIALECTS, inspect_flow

ROOT = Path(__file__).parents[2]
SECONDS_PER_INPUT = 2
CONTEXTS = {
    "github": {"ref": "refs/heads/main", "event": {"number": 7, "labels": [{"name": "a"}, {"name": "b"}]}},
    "matrix": {"v": [1.0, True, None, "x"], "o": {"k": {"deep": "er"}}},
}


def fuzz_flow(data: bytes) -> None:
    """Any text gives problems or none in every language, never an exception."""
    text = data.decode("utf-8", "surrogateescape")
    for dialect in (None, *DIALECTS):
        for problem in inspect_flow(text, "fuzz.yml", dialect).problems:
            assert problem.message
            assert problem.position.line >= 1
            assert problem.position.column >= 1


def fuzz_expression(data: bytes) -> None:
    """Any text is an expression, a template or a condition, or an `ExpressionError` says why it is not."""
    text = data.decode("utf-8", "replace")
    for use in (
        parse,
        to_condition,
        lambda t: evaluate(t, CONTEXTS),
        lambda t: evaluate_template(t, CONTEXTS),
    ):
        try:
            use(text)
        except ExpressionError as error:
            assert error.kind in {"lexing", "parsing", "evaluation"}
            assert error.message
        except AgentError as error:
            raise AssertionError(f"not an ExpressionError: {error!r}") from error


TARGETS = {"flow": fuzz_flow, "expression": fuzz_expression}


def main() -> None:
    """`language.py TARGET [libFuzzer options]`."""
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup([*sys.argv, f"-timeout={SECONDS_PER_INPUT}", "-max_len=4096"], target)
    atheris.Fuzz()


main()
