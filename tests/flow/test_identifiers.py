"""Ids: which are allowed, and what a step without one is called."""

import pytest

from agent.flow.identifiers import StepIds, explain_invalid, name_action


@pytest.mark.parametrize("identifier", ["a", "_", "A-b_9", "x" * 99])
def test_letters_digits_underscores_and_hyphens_make_an_id(identifier):
    assert explain_invalid(identifier) == ""


@pytest.mark.parametrize("identifier", ["", "9a", "-a", "a.b", "a b", "é", "x" * 100])
def test_anything_else_is_refused_in_githubs_words(identifier):
    assert explain_invalid(identifier).startswith(
        f"The identifier '{identifier}' is invalid. IDs may only contain"
    )


def test_two_underscores_at_the_start_are_reserved():
    assert explain_invalid("__a") == "The identifier '__a' is invalid. IDs starting with '__' are reserved."


def test_an_id_is_taken_once_whatever_its_case():
    ids = StepIds()
    assert ids.add("a") == ""
    assert ids.add("A") == "The identifier 'A' may not be used more than once within the same scope."
    assert ids.add("__x").endswith("are reserved.")


def test_generated_ids_are_numbered_and_fit():
    ids = StepIds()
    assert [ids.generate("run") for _ in range(3)] == ["__run", "__run_2", "__run_3"]
    assert [ids.generate("run_4"), ids.generate("run")] == ["__run_4", "__run_5"]
    assert ids.generate("actions/checkout") == "__actions_checkout"
    long = [ids.generate("x" * 200) for _ in range(2)]
    assert [len(identifier) for identifier in long] == [100, 100]
    assert long[1].endswith("x_2")


@pytest.mark.parametrize(
    ("uses", "name"),
    [
        ("actions/checkout@v4", "actions/checkout"), ("owner/repo/sub/path@v1", "owner/repo"), ("./local", "self"),
        (".\\local", "self"), ("$/path", "selfRepository"), ("$/", "run"), ("docker://node:20", "node:20"),
        ("owner\\repo@v1", "owner/repo"), ("nothing", "run"), ("", "run"),
    ],
)  # fmt: skip
def test_a_step_is_named_after_its_action(uses, name):
    assert name_action(uses) == name
