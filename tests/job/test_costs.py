"""No expression keeps a job's supervisor from hearing its cancel."""

from pathlib import Path

import pytest
from support.jobs import make_spec, run_job, script

from agent.flow.expressions import CostError
from agent.job.output.masking import Masker
from agent.job.supervisor.called_secrets import hand_on_secrets
from agent.spec.job import CallerSecrets
from agent.spec.outcome import Conclusion

LARGE = {"event": {"text": "." * 4_000_000}}


def test_a_step_whose_expressions_cost_too_much_fails_with_its_place(tmp_path: Path) -> None:
    costly = "${{ contains(github.event.text, 'x') }} " * 130
    report = run_job(tmp_path, script("fit", f"echo {costly}"), github=LARGE)
    assert report.conclusion is Conclusion.FAILURE
    told = " ".join(item.message for item in report.annotations())
    assert "the expressions cost too much" in told
    assert "(contains(github.event.text, 'x'))" in told


def test_a_condition_of_a_step_that_costs_too_much_fails_it_with_its_place(tmp_path: Path) -> None:
    costly = " || ".join(["contains(github.event.text, 'x')"] * 130)
    report = run_job(tmp_path, script("fit", "echo", condition=costly), github=LARGE)
    assert report.conclusion is Conclusion.FAILURE
    told = " ".join(item.message for item in report.annotations())
    assert "the expressions cost too much" in told


def test_the_secrets_of_a_called_flow_draw_on_a_budget_too() -> None:
    costly = "${{ contains(github.event.text, 'x') }} " * 130
    spec = make_spec(callers=(CallerSecrets({"KEY": costly}, {"github": LARGE}),))
    with pytest.raises(CostError, match="the expressions cost too much"):
        hand_on_secrets(spec, {}, "GITHUB_TOKEN", Masker())
