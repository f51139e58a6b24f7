"""GitHub's own test vectors. They are not part of this repository; the other tests here stand without them."""

import io
import json
from pathlib import Path

import pytest

from agent.cli.flow.eval import run_eval

VECTORS = Path(__file__).parents[4] / "shared" / "conformance" / "expressions-dev.jsonl"


def agrees(answer, case):
    if "error" not in case:
        return answer == case["result"]
    error = answer.get("error", {})
    return error.get("kind") == case["error"]["kind"] and case["error"]["value"] in error["message"]


@pytest.mark.skipif(
    not VECTORS.exists(),
    reason="GitHub's test vectors (shared/conformance beside the repository) are not here",
)
def test_every_official_vector_has_its_result_or_its_error_with_words_and_position():
    cases = [json.loads(line) for line in VECTORS.read_text(encoding="utf-8").split("\n") if line]
    out = io.StringIO()
    assert run_eval(None, None, VECTORS, "json", out) == 0
    answers = [json.loads(line) for line in out.getvalue().split("\n") if line]
    wrong = [(case, answer) for case, answer in zip(cases, answers, strict=True) if not agrees(answer, case)]
    assert not wrong, wrong[:5]
