"""The page and the schema of dstack's language, made from its table."""

from pathlib import Path

from agent.flow.load import LIMITS, find_front_end

PAGE = Path(__file__).parents[4] / "docs" / "dialects" / "dstack-keys.md"


def test_the_page_of_keys_is_up_to_date():
    assert PAGE.read_text() == find_front_end("dstack").make_page(), (
        "write make_page() of the front end to it"
    )


def test_the_schema_knows_every_key():
    text = str(find_front_end("dstack").make_schema())
    for key in ("depends-on", "registry_auth", "interruptible", "python_script", "before_run", "nodes"):
        assert f"'{key}'" in text


def test_a_file_may_cost_no_more_than_what_is_read_before_its_language_is_known():
    assert all(own <= most for own, most in zip(find_front_end("dstack").limits, LIMITS, strict=True))
