"""Characters that nobody sees: refused in names that we give out, escaped in those that come from outside, wherever shown."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.terminal.output import safe_text
from agent.cli.terminal.tables import plain, print_table
from agent.errors import UsageError
from agent.server.data.artifacts import check_name
from agent.server.people.vault import check_environment
from agent.server.runs.badges import draw_badge
from agent.server.web.text import plain_text
from agent.spec.dataset import check_path
from agent.visible import check_visible, show_name

HIDDEN = [
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c",  # directions
    *"\u2028\u2029\x85\r\n\x0b\x0c",  # ends of lines
    *"\x00\x07\x08\x1b\x7f\x9b\u200b\u2060\ufeff\xad\U000e0041\ud800",
]
CODES = [f"U+{ord(character):04X}" for character in HIDDEN]
FINE = ["Modell-größe-模型", "שלום", "\u0645\u06cc\u200c\u062e\u0648", "👩\u200d🔬", "a b\u3000c", "don’t"]


@pytest.mark.parametrize("character", HIDDEN, ids=CODES)
def test_what_nobody_sees_is_refused_in_names_that_are_made_here(character: str) -> None:
    for check in (check_name, check_environment, check_path, lambda name: check_visible(name, "x")):
        with pytest.raises(UsageError) as caught:
            check(f"a{character}b")
        assert character not in str(caught.value)


@pytest.mark.parametrize("character", HIDDEN, ids=CODES)
def test_what_nobody_sees_is_shown_escaped_on_terminal_badge_and_page(character: str) -> None:
    name = f"a{character}b"
    out = io.StringIO()
    print_table(["name"], [[name]], out)
    shown = [
        out.getvalue().removesuffix("\n").partition("\n")[2],
        draw_badge(name, name),
        show_name(name),
        plain(name),
    ]
    assert all(character not in text for text in shown)
    assert character == "\n" or len(show_name(name)) > 3
    page = plain_text(name)
    assert isinstance(page, str)
    assert character == "\n" or character not in page


@pytest.mark.parametrize("character", "\u202e\u2066\u200f\u061c\u2028", ids=ascii)
def test_what_a_job_prints_turns_no_direction_and_ends_no_line(character: str) -> None:
    assert safe_text(f"a{character}b") == "ab"


@pytest.mark.parametrize("name", FINE)
def test_names_in_any_script_are_names(name: str) -> None:
    assert check_name(name) == check_environment(name) == check_path(name) == name
    assert plain_text(name) == name
    assert show_name(name) == name.replace("\u3000", " ")


def test_an_escape_says_which_character_it_stands_for() -> None:
    assert show_name("a\u202eb\x1b[2J\U000e0041\nc\td") == r"a\u202eb\x1b[2J\U000e0041 c d"


@given(st.text(st.characters()))
def test_what_is_shown_is_one_line_that_can_be_printed(text: str) -> None:
    shown = show_name(text)
    assert all(character.isprintable() or character in "\u200c\u200d" for character in shown)
    assert shown.encode().decode() == shown
    assert show_name(shown) == shown
