"""Numbers of repositories and people, which GitHub gives and nobody has here."""

from agent.flow.dialects.github.numbers import list_numbers, number_of


def test_a_name_has_one_number_always_and_no_other_has_it() -> None:
    assert number_of("repository", "acme/tool") == number_of("repository", "Acme/Tool") == "808548760"
    numbers = {
        number_of(kind, name) for kind in ("repository", "account") for name in ("acme", "acme/tool", "bob")
    }
    assert len(numbers) == 6
    assert all(number.isdigit() and len(number) == 9 and number[0] != "0" for number in numbers)
    assert number_of("account", "") == ""


def test_the_numbers_of_an_event_are_taken_where_it_is_about_the_same_names() -> None:
    event = {
        "repository": {"id": 7, "full_name": "Acme/tool", "owner": {"id": 8}},
        "sender": {"id": 9, "login": "bob"},
    }
    assert list_numbers(event, "acme/tool", "Bob") == {
        "repository_id": "7",
        "repository_owner_id": "8",
        "actor_id": "9",
    }
    assert list_numbers(event, "acme/other", "eve") == list_numbers({}, "acme/other", "eve")
    odd = {"repository": {"id": True, "full_name": "a/b"}, "sender": "x"}
    assert list_numbers(odd, "a/b", "c") == list_numbers({}, "a/b", "c")
