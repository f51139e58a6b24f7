"""Tokens into a tree, and GitHub's words for what is no expression."""

import pytest

from agent.flow.expressions import (
    Comparison,
    ExpressionError,
    FunctionCall,
    FunctionInfo,
    Index,
    Literal,
    Logical,
    NamedValue,
    Not,
    called_functions,
    named_values,
    parse,
    walk,
)


def show(node):
    """The tree with every pair of parentheses that it means."""
    match node:
        case Literal(value):
            return repr(value)
        case NamedValue(name):
            return name
        case Index(base, None):
            return f"{show(base)}[*]"
        case Index(base, key):
            return f"{show(base)}[{show(key)}]"
        case Not(operand):
            return f"!{show(operand)}"
        case Comparison(operator, left, right):
            return f"({show(left)} {operator} {show(right)})"
        case Logical(operator, operands):
            return f"({f' {operator} '.join(map(show, operands))})"
        case FunctionCall(name, arguments):
            return f"{name}({', '.join(map(show, arguments))})"


def failure(text, **known):
    with pytest.raises(ExpressionError) as caught:
        parse(text, **known)
    return caught.value


def test_an_empty_expression_has_no_tree():
    assert parse("").root is None
    assert parse(" \n ").root is None
    assert list(walk(parse(""))) == []


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a || b && c", "(a || (b && c))"),
        ("a && b || c && d || e", "((a && b) || (c && d) || e)"),
        ("a && b && c", "(a && b && c)"),
        ("(a || b) || c", "((a || b) || c)"),
        ("a == b && c != d", "((a == b) && (c != d))"),
        ("a == b == c", "((a == b) == c)"),
        ("a < b == c > d", "((a < b) == (c > d))"),
        ("a < b <= c", "((a < b) <= c)"),
        ("!a == !b", "(!a == !b)"),
        ("!!a.b", "!!a['b']"),
        ("!(a && b)", "!(a && b)"),
        ("(a == b) == c", "((a == b) == c)"),
        ("a == (b == c)", "(a == (b == c))"),
        ("a.b['c'][0].*[*].d", "a['b']['c'][0][*][*]['d']"),
        ("(a).b", "a['b']"),
        ("a[b[c.d] == e]", "a[(b[c['d']] == e)]"),
        ("fromJSON(a).b[0]", "fromJSON(a)['b'][0]"),
        ("join ( a , '-' ) == toJSON(format('{0}', !b))", "(join(a, '-') == toJSON(format('{0}', !b)))"),
        ("contains(a || b, (c))", "contains((a || b), c)"),
        ("((((1))))", "1"),
        ("[", None),
    ],
)
def test_operators_bind_as_githubs_do(text, tree):
    if tree is None:
        assert failure(text).kind == "parsing"
    else:
        assert show(parse(text).root) == tree


@pytest.mark.parametrize(
    ("text", "description", "symbol", "position"),
    [
        ("1 <", "Unexpected end of expression", "<", 3),
        ("1 < )", "Unexpected symbol", ")", 5),
        ("(1,", "Unexpected symbol", ",", 3),
        ("1, 2", "Unexpected symbol", ",", 2),
        ("a[1, 2]", "Unexpected symbol", ",", 4),
        ("1 2", "Unexpected symbol", "2", 3),
        ("toJSON(1)2", "Unexpected symbol", "2", 10),
        ("a 'b'", "Unexpected symbol", "b", 3),
        ("a '('", "Unexpected symbol", "(", 3),
        ("a b", "Unexpected symbol", "b", 3),
        ("a !b", "Unexpected symbol", "!", 3),
        ("a['b'", "Unexpected end of expression", "b", 3),
        ("a[", "Unexpected end of expression", "[", 2),
        ("a[]", "Unexpected symbol", "]", 3),
        ("a[*", "Unexpected end of expression", "*", 3),
        ("a[* && b]", "Unexpected symbol", "&&", 5),
        ("a[1)", "Unexpected symbol", ")", 4),
        ("(a]", "Unexpected symbol", "]", 3),
        ("a)", "Unexpected symbol", ")", 2),
        ("*", "Unexpected symbol", "*", 1),
        ("a *", "Unexpected symbol", "*", 3),
        ("a.1", "Unexpected symbol", "1", 3),
        ("a.", "Unexpected end of expression", ".", 2),
        ("a.'b'", "Unexpected symbol", "b", 3),
        ("'a'['b']", "Unexpected symbol", "[", 4),
        ("1 .5", "Unexpected symbol", ".5", 3),
        ("(a", "Unexpected end of expression", "a", 2),
        ("join(", "Unexpected end of expression", "(", 5),
        ("join(a", "Unexpected end of expression", "a", 6),
        ("join(a,)", "Unexpected symbol", ")", 8),
        ("join(,a)", "Unexpected symbol", ",", 6),
        ("!", "Unexpected end of expression", "!", 1),
        ("()", "Unexpected symbol", ")", 2),
        ("a.b(c)", "Unexpected symbol", "(", 4),
        ("true && nope()", "Unrecognized function", "nope", 9),
        ("join()", "Too few parameters supplied", "join", 1),
        ("!join(1, 2, 3)", "Too many parameters supplied", "join", 2),
        ("case(1, 2, 3, 4)", "Even number of parameters supplied, requires an odd number of parameters", "case", 1),
        ("case(1, 2)", "Too few parameters supplied", "case", 1),
        ("a ==\n b c", "Unexpected symbol", "c", 9),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_named_with_its_position(text, description, symbol, position):
    error = failure(text)
    assert error.kind == "parsing"
    assert (
        error.message
        == f"{description}: '{symbol}'. Located at position {position} within expression: {text}"
    )
    assert error.offset == position - 1
    assert str(error) == error.message


def test_only_the_contexts_that_are_given_may_be_named_whatever_their_case():
    assert parse("GitHub.ref", contexts=["github"]).root == Index(NamedValue("GitHub", 0), Literal("ref"))
    error = failure("a && env.x", contexts=["A"])
    assert (
        error.message
        == "Unrecognized named-value: 'env'. Located at position 6 within expression: a && env.x"
    )


def test_functions_can_be_made_known_with_their_number_of_arguments():
    known = {"hashFiles": FunctionInfo("hashFiles", 1, 2)}
    assert called_functions(parse("HashFiles('a') == HASHFILES('b', 'c')", functions=known)) == {"hashfiles"}
    assert failure("hashFiles()", functions=known).message.startswith(
        "Too few parameters supplied: 'hashFiles'"
    )
    assert failure("hashFiles(1, 2, 3)", functions=known).message.startswith("Too many parameters supplied")


def test_walking_meets_parents_first_and_finds_all_names():
    expression = parse("!a.b[c] && Contains(D, join(e.*, 'f')) || 1 == g")
    assert named_values(expression) == {"a", "c", "d", "e", "g"}
    assert called_functions(expression) == {"contains", "join"}
    nodes = list(walk(expression))
    assert isinstance(nodes[0], Logical)
    assert [node.value for node in nodes if isinstance(node, Literal)] == ["b", "f", 1]


@pytest.mark.parametrize(
    ("deepest", "one_more"),
    [
        ("a" + ".b" * 49, "a" + ".b" * 50),
        ("a" + "[*]" * 49, "a" + "[*]" * 50),
        ("a" + ".*" * 49, "a" + ".*" * 50),
        ("a" + "[1]" * 49, "a" + "[1]" * 50),
        ("!" * 49 + "a", "!" * 50 + "a"),
        ("toJSON(" * 49 + "1" + ")" * 49, "toJSON(" * 50 + "1" + ")" * 50),
        ("1" + " == 1" * 49, "1" + " == 1" * 50),
        ("a[" * 49 + "1" + "]" * 49, "a[" * 50 + "1" + "]" * 50),
        ("(1 || (1 && " * 24 + "!1" + "))" * 24, "(1 || (1 && " * 24 + "!!1" + "))" * 24),
    ],
)
def test_a_tree_is_fifty_nodes_deep_at_most(deepest, one_more):
    assert parse(deepest).root is not None
    error = failure(one_more)
    assert (error.kind, error.message) == ("parsing", "Exceeded max expression depth 50")


def test_depth_and_length_are_the_callers_to_set():
    assert failure("!!a", max_depth=2).message == "Exceeded max expression depth 2"
    assert failure("a.bc", max_length=3).message == "Exceeded max expression length 3"


@pytest.mark.parametrize(
    "chain", [" || ".join(["a"] * 4_000), " && ".join(["1"] * 4_000), "(" * 9_000 + "a" + ")" * 9_000]
)
def test_long_chains_and_many_parentheses_are_no_depth(chain):
    assert parse(chain).root is not None


@pytest.mark.parametrize(
    "symbol", ["(", "!", "a[", "toJSON(", "a.", ".", "[", "1==", "a||", "'a", "-", "a,", ")", "\U0001f60a"]
)
@pytest.mark.parametrize("length", [20_000, 100_000])
def test_hostile_text_is_refused_and_exhausts_nothing(symbol, length):
    assert failure((symbol * length)[:length]).kind in {"lexing", "parsing"}
