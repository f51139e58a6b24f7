"""What an `if:` means."""

import pytest

from agent.flow.expressions import ExpressionError, evaluate, to_condition


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("", "success()"), ("  \n", "success()"), ("${{ '' }}", "success()"),
        ("github.ref == 'x'", "success() && (github.ref == 'x')"), (" a || b ", "success() && (a || b)"), ("${{ a || b }}", "success() && (a || b)"),
        ("always()", "always()"), ("${{ Failure() }}", "Failure()"), ("!CANCELLED ( ) && a", "!CANCELLED ( ) && a"),
        ("success('build') && a", "success('build') && a"), ("contains(format('{0}', always()), 'x')", "contains(format('{0}', always()), 'x')"),
        ("steps.always == 'success()'", "success() && (steps.always == 'success()')"), ("a[failure()]", "a[failure()]"),
        ("hashFiles('a') != ''", "success() && (hashFiles('a') != '')"),
        ("'${{ a'", None), ("true", "success() && (true)"), ("${{ 'false' }}", "success() && (false)"), ("${{ 'always()' }}", "always()"),
        ("${{ a }} && b", "success() && (format('{0} && b', a))"), ("it's {${{ a }}${{ always() }}", "format('it''s {{{0}{1}', a, always())"),
        ("${{ a }}\n", "success() && (format('{0}\n', a))"),
    ],
)  # fmt: skip
def test_an_if_becomes_an_expression_that_asks_for_success_unless_it_asks_itself(text, condition):
    if condition is None:
        with pytest.raises(ExpressionError):
            to_condition(text)
    else:
        assert to_condition(text) == condition


def test_text_around_an_expression_is_always_true():
    contexts = {"a": False}
    assert evaluate(to_condition("${{ a }} == true"), contexts, {"success": lambda: True}) == "false == true"


@pytest.mark.parametrize("text", ["a ==", "nope()", "always(1)", "${{ a", "${{ }}", "a & b"])
def test_what_is_no_condition_is_an_expression_error(text):
    with pytest.raises(ExpressionError):
        to_condition(text)
