"""docs/dialects/jumpwire.md tells of every action what it does here, and names tests that are there; its flow and the examples are valid."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
from support.flows import check_flow

from agent.flow.dialects.jumpwire.actions import KNOWN
from agent.flow.load import find_front_end

ROOT = Path(__file__).parents[4]
DOCS = ROOT / "docs" / "dialects"
PAGE = (DOCS / "jumpwire.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("## Beside the documents")[2].splitlines()
    if line.startswith("| ") and not line.startswith(("| key", "| ---"))
]


def test_the_page_of_keys_is_up_to_date() -> None:
    assert (DOCS / "jumpwire-keys.md").read_text() == find_front_end("jumpwire").make_page(), (
        "run: python -m agent.cli.flow.language jumpwire > docs/dialects/jumpwire-keys.md"
    )


def test_each_row_says_how_a_key_works_and_which_tests_show_it() -> None:
    assert len(ROWS) > 20
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    for key, how, difference, shown in ROWS:
        assert how in ("works", "works differently", "ours", "no effect"), key
        assert how in ("works", "ours") or difference, key
        assert shown, key
        for name in re.findall(r"`([a-z_]+)", shown):
            assert f"def test_{name}" in tests, name


@pytest.mark.parametrize("action", KNOWN)
def test_every_action_has_its_row_and_its_section(action: str) -> None:
    assert any(f"`{action}`" in row[0] for row in ROWS)
    assert f"`{action}`" in (DOCS / "jumpwire-keys.md").read_text()


def test_its_flow_is_valid_and_drawn_as_it_says(tmp_path: Path) -> None:
    from support.lab import run_agent

    flow, drawn = re.findall(r"\n\n((?: {4,}.*\n|\n)+)", PAGE)[:2]
    assert check_flow(dedent(flow), "relay.yml") == []
    (tmp_path / "relay.yml").write_text(dedent(flow))
    shown = run_agent("flow", "show", tmp_path / "relay.yml").out
    assert dedent(drawn).strip() == shown.strip()


@pytest.mark.parametrize("name", ["relay-big-orders.yml", "score-orders.yml"])
def test_an_example_is_valid(name: str) -> None:
    assert check_flow((ROOT / "examples" / name).read_text(), name) == []
