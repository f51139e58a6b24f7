"""What evaluating may cost over many expressions."""

import pytest

from agent.flow.expressions import (
    PLANNING,
    Allowance,
    CostError,
    LongWorkError,
    evaluate,
    evaluate_template,
    spending,
    trying,
)
from agent.flow.expressions.budget import open_budget
from agent.plan.matrix import expand_matrix

EVENT = {"commits": [{"message": "m" * 50, "id": float(number)} for number in range(100)]}
NAMES = {f"n{number}": 1.0 for number in range(1000)}
CONTEXTS = {"github": {"event": EVENT, "text": "x" * 1000, "names": NAMES}}
SMALL = Allowance(characters=20_000, steps=500)


@pytest.mark.parametrize(
    "expression",
    [
        "contains(github.text, 'zz')",
        "startsWith(github.text, 'zz')",
        "endsWith(github.text, 'zz')",
        "github.text == 'zz'",
        "github.text < 'zz'",
        "github.text > 1",
        "format('{0}', github.text)",
        "join(github.event.commits.*.message)",
        "contains(github.event.commits.*.message, 'zz')",
        "fromJSON(format('\"{0}\"', github.text))",
        "github.event.commits.*.message",
        "github.event.commits.*.MESSAGE",
        "github.event.commits.*",
        "github.names.zz",
    ],
)
def test_each_way_to_look_at_much_draws_on_the_budget(expression: str) -> None:
    def evaluate_often() -> None:
        for _ in range(200):
            evaluate(expression, CONTEXTS)

    with spending(Allowance(characters=20_000, steps=5_000)), pytest.raises(CostError):
        evaluate_often()


@pytest.mark.parametrize("template", ["a ${{ github.text }}", ["${{ github.event.commits }}"]])
def test_what_templates_put_together_draws_on_it_too(template: object) -> None:
    def evaluate_often() -> None:
        for _ in range(200):
            evaluate_template(template, CONTEXTS)

    with spending(Allowance(characters=20_000, steps=5_000)), pytest.raises(CostError):
        evaluate_often()


def test_one_expression_that_costs_too_much_is_refused_with_its_text() -> None:
    with spending(SMALL), pytest.raises(CostError, match=r"cost too much.*20,000 characters") as caught:
        evaluate("contains(toJSON(github.event), 'x')", CONTEXTS)
    assert caught.value.where == "contains(toJSON(github.event), 'x')"


def test_what_is_spent_stays_spent_and_is_counted_once_for_nested_blocks() -> None:
    with spending(SMALL):
        with pytest.raises(CostError):
            evaluate("toJSON(github.event)", CONTEXTS)
        with spending(PLANNING), pytest.raises(CostError):
            evaluate("1 == 1", {})
    assert open_budget() is None
    assert evaluate("1 == 1", {}) is True


def test_the_same_object_is_written_as_json_once() -> None:
    with spending(Allowance(characters=60_000, steps=10_000)):
        texts = {evaluate("toJSON(github.event)", CONTEXTS) for _ in range(100)}
    assert len(texts) == 1


def test_each_object_that_is_written_as_json_draws_on_it() -> None:
    def write_all() -> None:
        for number in range(100):
            evaluate(f"toJSON(github.event.commits[{number}])", CONTEXTS)

    with spending(Allowance(characters=20_000, steps=5_000)), pytest.raises(CostError, match="characters"):
        write_all()


def test_the_same_expression_is_parsed_once_for_the_same_names() -> None:
    expression = " || ".join(["false"] * 60)
    with spending(Allowance(characters=0, steps=61 * 10 + 1 + len(expression) // 4)):
        for _ in range(10):
            assert evaluate(expression, {}) is False
        with pytest.raises(CostError):
            evaluate(f"{expression} || false", {})


def test_a_trial_ends_without_blame() -> None:
    with pytest.raises(LongWorkError), trying(SMALL):
        evaluate("toJSON(github.event)", CONTEXTS)
    assert open_budget() is None


def test_where_no_budget_is_open_nothing_is_counted() -> None:
    for _ in range(50):
        assert evaluate("contains(toJSON(github.event), 'zz')", CONTEXTS) is False


def test_the_cells_of_a_matrix_are_counted_before_they_are_made() -> None:
    wide = {f"v{number}": [float(value) for value in range(100)] for number in range(9)}
    with pytest.raises(Exception, match="the matrix gives 1000000000000000000 jobs before"):
        expand_matrix(wide)
    tall = {"a": [float(value) for value in range(200)], "exclude": [{"a": -1.0}] * 1000}
    with spending(SMALL), pytest.raises(CostError):
        expand_matrix(tall)
