"""CONTRIBUTING.md and docs/architecture.md name files: those are there, and lists of them are whole."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_FILE = re.compile(r"`((?:[a-z_]+/)+(?:[A-Za-z_.-]+)?)`")


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_and_folders_that_a_page_names_are_there(page: str) -> None:
    named = set(_FILE.findall((ROOT / page).read_text()))
    assert named
    assert [name for name in sorted(named) if not _is_there(name.rstrip("/"))] == []


def test_the_walk_of_step_handlers_names_all_of_them() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    walk = page[page.index("### A step handler") : page.index("### A route")]
    handlers = {file.name for file in (ROOT / "agent/job/handlers").glob("*.py")} - {"__init__.py"}
    table = (ROOT / "agent/job/supervisor/handling.py").read_text()
    assert {name for name in handlers if f"`{name}`" not in walk} == set()
    assert {
        name for name in handlers if f"agent.job.handlers.{name.removesuffix('.py')} import" not in table
    } == set()


def _is_there(name: str) -> bool:
    """Whether the repository, or a room of `agent`, holds `name`; a module may lack its `.py`."""
    if (ROOT / name).exists():
        return True
    return any(list((ROOT / "agent").rglob(found)) for found in (name, f"{name}.py"))
