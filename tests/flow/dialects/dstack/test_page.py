"""The page and the schema of dstack's language, made from its table."""

import re
from pathlib import Path

from agent.flow.load import LIMITS, find_front_end

PAGE = Path(__file__).parents[4] / "docs" / "dialects" / "dstack-keys.md"


def test_the_page_of_keys_is_up_to_date():
    assert PAGE.read_text() == find_front_end("dstack").make_page(), (
        "write make_page() of the front end to it"
    )


def test_the_schema_knows_every_key():
    text = str(find_front_end("dstack").make_schema())
    for key in (
        "depends-on",
        "mount",
        "ssh",
        "help",
        "registry_auth",
        "interruptible",
        "python_script",
        "before_run",
        "nodes",
    ):
        assert f"'{key}'" in text


def test_a_file_may_cost_no_more_than_what_is_read_before_its_language_is_known():
    assert all(own <= most for own, most in zip(find_front_end("dstack").limits, LIMITS, strict=True))


def test_each_test_that_the_page_names_is_there():
    page = PAGE.with_name("dstack.md").read_text()
    root = PAGE.parents[2] / "tests"
    files = [
        *root.glob("flow/dialects/dstack/*.py"),
        *root.glob("end_to_end/test_dstack*.py"),
        root / "containers" / "test_dstack.py",
    ]
    there = set(re.findall(r"def (test_\w+)", "".join(file.read_text() for file in files)))
    assert set(re.findall(r"`(test_\w+)`", page)) - there == set()
