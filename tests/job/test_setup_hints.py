"""What is said of a setup action that failed: what it asked the internet for, and what would have spared it that."""

import pytest

from agent.job.runtimes.setup_hints import explain_setup

PYTHON, NODE, UV = "actions/setup-python", "actions/setup-node", "astral-sh/setup-uv"
PYTHONS, NODES = ("3.9.18", "3.13.0"), ("18.20.8", "24.1.0")


@pytest.mark.parametrize(
    ("action", "inputs", "cached", "words"),
    [
        (PYTHON, {"python-version": "3.2"}, PYTHONS, ("has no Python 3.2", "`agent tool add python 3.2`")),
        (PYTHON, {"python-version": "3.9\n3.14\n"}, PYTHONS, ("no Python 3.14", "`agent tool add python 3.14`")),
        (PYTHON, {"python-version": "pypy-3.11"}, PYTHONS, ("for 'pypy-3.11'", "usual build only")),
        (PYTHON, {"python-version": "3.14t"}, PYTHONS, ("for '3.14t'", "usual build only")),
        (PYTHON, {"python-version": ">=3.14"}, PYTHONS, ("for '>=3.14' (it has 3.9.18, 3.13.0)", "python VERSION`")),
        (PYTHON, {"python-version-file": "a.toml"}, PYTHONS, ("what `python-version-file: a.toml` names",)),
        (PYTHON, {"python-version": "3.9", "check-latest": "true"}, PYTHONS, ("`check-latest: true`, whatever",)),
        (PYTHON, {}, (), ("has no Python, so", "`agent tool add python`")),
        (NODE, {"node-version": "lts/*"}, NODES, ("`node-version: lts/*`, whatever", "`node-version: 24.1.0`")),
        (NODE, {"node-version": "lts/*"}, (), ("has no node lts/*, so", "`agent tool add node VERSION`")),
        (NODE, {"node-version": "latest"}, NODES, ("`node-version: latest`, whatever",)),
        (NODE, {"node-version": "26.x"}, NODES, ("has no node 26.x", "`agent tool add node 26.x`")),
        (UV, {}, ("0.9.3",), ("for the newest, whatever", "(it has 0.9.3)", "`version: 0.9.3`")),
        (UV, {"version": ">=0.9"}, ("0.9.3",), ("`version: >=0.9`, whatever",)),
        (UV, {"version-file": "uv.lock"}, ("0.9.3",), ("what `version-file: uv.lock` names, unless",)),
        (UV, {"version": "0.8.0"}, ("0.9.3",), ("has no uv 0.8.0", "`agent tool add uv 0.8.0`")),
    ],
)  # fmt: skip
def test_a_failed_setup_is_told_what_it_asked_the_internet_for_and_how_not_to(
    action: str, inputs: dict[str, str], cached: tuple[str, ...], words: tuple[str, ...]
) -> None:
    said = explain_setup(action, inputs, cached)
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("action", "inputs", "cached"),
    [
        (PYTHON, {"python-version": "3.9\n3.13"}, PYTHONS),
        (PYTHON, {"python-version": "v3.x", "python-version-file": "a.toml"}, PYTHONS),
        (NODE, {"node-version": "v24"}, NODES),
        (NODE, {}, NODES),
        (UV, {"version": "==0.9.3"}, ("0.9.3",)),
    ],
)
def test_a_setup_that_found_its_tool_here_failed_of_something_else(
    action: str, inputs: dict[str, str], cached: tuple[str, ...]
) -> None:
    assert explain_setup(action, inputs, cached) == ""
