"""One word a thing: what a reader searches for is found once, and a module's first word says what it is."""

import ast
from collections import defaultdict
from pathlib import Path

import agent

_QUESTIONS = {
    "How",
    "What",
    "Which",
    "Where",
    "Who",
    "Whose",
    "Whether",
    "When",
    "Why",
    "From",
    "All",
    "Did",
    "So",
}


def test_no_two_public_classes_have_one_name() -> None:
    root = Path(agent.__file__).parent
    homes: dict[str, list[str]] = defaultdict(list)
    for file in sorted(root.rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(file.relative_to(root).as_posix())
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def test_a_headline_leads_with_its_noun() -> None:
    root = Path(agent.__file__).parent
    headlines = {
        file.relative_to(root).as_posix(): ast.get_docstring(ast.parse(file.read_text())) or ""
        for file in sorted(root.rglob("*.py"))
    }
    assert {
        file: text[:60] for file, text in headlines.items() if text.split(" ")[0].rstrip(",") in _QUESTIONS
    } == {}
