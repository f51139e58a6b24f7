"""The official vectors that were handed to this project: validity, and every error at its place."""

import json
from pathlib import Path

import pytest
from support.flows import check_flow

from agent.flow.load import load_flow
from agent.flow.problems import InvalidFlowError, Severity

VECTORS = Path(__file__).parents[3] / "shared" / "conformance" / "workflows-dev.jsonl"


def load_vectors():
    if not VECTORS.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"{VECTORS} is not on this machine"))]
    cases = [json.loads(line) for line in VECTORS.read_text().splitlines()]
    return [pytest.param(case, id=case["id"]) for case in cases]


@pytest.mark.parametrize("case", load_vectors())
def test_an_official_workflow_has_its_errors_at_their_places_and_no_others(case):
    problems = [p for p in check_flow(case["workflow"], "f.yml") if p.severity is Severity.ERROR]
    found = {(problem.position.line, problem.position.column) for problem in problems}
    assert found == {(error["line"], error["column"]) for error in case["errors"]}
    if not case["errors"]:
        assert load_flow(case["workflow"], "f.yml").flow.jobs
    else:
        with pytest.raises(InvalidFlowError):
            load_flow(case["workflow"], "f.yml")
