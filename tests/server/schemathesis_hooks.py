"""What schemathesis loads: in CI, of the many ways to break a type, each operation is tried with some (test_openapi.py)."""

import os
from collections import Counter

import schemathesis
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.generation.meta import TestPhase

EVERY = int(os.environ.get("SCHEMATHESIS_EVERY", "1"))
_seen: Counter[str] = Counter()


@schemathesis.hook
def filter_case(context: HookContext, case: Case) -> bool:
    """At the edges of the types: all values that the document allows, and every `EVERY`th that it does not.

    Values by chance all pass: hypothesis looks for others when some are refused.
    """
    meta = case.meta
    if meta is None or meta.phase.name is not TestPhase.COVERAGE:
        return True
    if meta.generation.mode is not GenerationMode.NEGATIVE:
        return True
    label = context.operation.label
    _seen[label] += 1
    return _seen[label] % EVERY == 1 % EVERY
