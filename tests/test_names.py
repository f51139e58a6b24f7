"""One word a thing: what a reader searches for is found once."""

import ast
from collections import defaultdict
from pathlib import Path

import agent


def test_no_two_public_classes_have_one_name() -> None:
    root = Path(agent.__file__).parent
    homes: dict[str, list[str]] = defaultdict(list)
    for file in sorted(root.rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(file.relative_to(root).as_posix())
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}
