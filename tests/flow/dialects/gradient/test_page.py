"""docs/dialects/gradient.md tells of each key what it does here, and names a test or a flow that is there."""

import re
from pathlib import Path

import yaml

from agent.flow.dialects.gradient.table.actions import ACTIONS
from agent.flow.dialects.gradient.table.flow import SHOWN_FLOW
from agent.flow.document import list_sections

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "dialects" / "gradient.md").read_text()
FLOWS = ROOT / "tests" / "end_to_end" / "gradient"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("## Keys")[2].partition("## Machine types")[0].splitlines()
    if line.startswith("| ") and not line.startswith(("| key", "| ---"))
]


def test_each_row_says_works_works_differently_or_that_it_has_no_effect() -> None:
    assert len(ROWS) > 20
    for key, how, difference, shown in ROWS:
        assert how in ("works", "works differently", "accepted, no effect"), key
        assert how == "works" or difference, key
        assert shown, key


def test_each_flow_and_test_that_a_row_names_is_there() -> None:
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    for _, _, _, shown in ROWS:
        for name in re.findall(r"\b[a-z][a-z0-9_]+", re.sub(r"`[^`]*`", "", shown.replace("the same", ""))):
            assert (FLOWS / f"{name}.yaml").exists(), name
        for name in re.findall(r"`([a-z_]+)", shown):
            assert f"def test_{name}" in tests or name in tests, name


def test_every_key_of_the_table_stands_in_a_flow_that_runs() -> None:
    used: set[str] = set()

    def walk(node: object) -> None:
        if isinstance(node, dict):
            used.update(str(key) for key in node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    files = list(FLOWS.glob("*.yaml"))
    assert len(files) >= 15
    for file in files:
        walk(yaml.load(file.read_text(), Loader=yaml.BaseLoader))
        used.update(re.findall(r"[\w-]+@v1", file.read_text()))
    keys = {name for fields, _ in list_sections(SHOWN_FLOW, lambda *_: False) for name in fields.keys}
    assert keys | set(ACTIONS) <= used
