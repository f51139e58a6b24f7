"""Matrix expansion: GitHub's documented examples and the rules of its MatrixBuilder."""

import pytest

from agent.errors import UsageError
from agent.plan.matrix import expand_matrix


def values(matrix: object) -> list[dict[str, object]]:
    return [dict(cell.values) for cell in expand_matrix(matrix)]


def test_the_first_key_is_the_slowest() -> None:
    labels = [cell.label for cell in expand_matrix({"gpu": ["a100", "h100"], "seed": [1.0, 2.0]})]
    assert labels == ["a100, 1", "a100, 2", "h100, 1", "h100, 2"]


def test_an_exclude_drops_the_cells_that_match_all_of_its_keys() -> None:
    matrix = {"os": ["a", "b"], "v": [1.0, 2.0], "exclude": [{"os": "a", "v": 2.0}]}
    assert values(matrix) == [{"os": "a", "v": 1.0}, {"os": "b", "v": 1.0}, {"os": "b", "v": 2.0}]


def test_an_exclude_matches_part_of_a_nested_value() -> None:
    matrix = {
        "box": [{"gpu": "a100", "n": 1.0}, {"gpu": "h100", "n": 1.0}],
        "exclude": [{"box": {"gpu": "a100"}}],
    }
    assert values(matrix) == [{"box": {"gpu": "h100", "n": 1.0}}]


def test_includes_as_in_githubs_documentation() -> None:
    matrix = {
        "fruit": ["apple", "pear"],
        "animal": ["cat", "dog"],
        "include": [
            {"color": "green"},
            {"color": "pink", "animal": "cat"},
            {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ],
    }
    assert values(matrix) == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]


def test_a_matrix_of_includes_only_has_a_cell_for_each() -> None:
    assert values({"include": [{"site": "a"}, {"site": "b"}]}) == [{"site": "a"}, {"site": "b"}]


def test_an_include_is_matched_against_the_cells_that_excludes_left() -> None:
    matrix = {"v": [1.0, 2.0], "exclude": [{"v": 1.0}], "include": [{"v": 1.0, "extra": True}]}
    assert values(matrix) == [{"v": 2.0}, {"v": 1.0, "extra": True}]


def test_comparison_is_the_expression_languages_own() -> None:
    assert values({"v": ["A", "b"], "exclude": [{"v": "a"}]}) == [{"v": "b"}]


def test_labels_name_the_original_values_only_and_are_cut_at_100() -> None:
    (cell,) = expand_matrix({"v": ["x"], "include": [{"v": "x", "more": "y"}]})
    assert cell.label == "x"
    (long,) = expand_matrix({"v": ["x" * 150]})
    assert long.label == "x" * 97 + "..."


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ("text", "not a mapping"),
        ({"v": "text"}, "not a list"),
        ({"v": []}, "Matrix vector 'v' does not contain any values"),
        (
            {"v": [1.0], "exclude": [{"w": 1.0}]},
            "Matrix exclude key 'w' does not match any key within the matrix",
        ),
        ({"v": [1.0], "include": "x"}, "'include' is not a list of mappings"),
        ({"v": [float(n) for n in range(257)]}, "at most 256"),
    ],
)
def test_what_is_no_matrix_is_refused_in_words(matrix: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        expand_matrix(matrix)
