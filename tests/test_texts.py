"""What our texts and scripts tell people to install: nothing by a name that a stranger could bear.

No package index has us yet; a distribution of our name there is somebody else's program, and `install.sh` runs as root.
"""

import re
import subprocess
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from .test_requirements import LOCKS, ROOT, read_lock

COMMAND = re.compile(
    r"""\b(?:pip3?|pipx|uv\ pip|uv\ tool)(?:\s+-\S+)*\s+(?:install|download|wheel)\b(?P<rest>[^\n;|&`)]*)"""
)
IN_A_LIST = re.compile(r'"pip3?",[^\]]*?"(?:install|download)"(?P<rest>[^\]]*)\]')
WITH_VALUE = re.compile(
    r"(-[rcefidt]|--[a-z-]*(?:requirement|constraint|editable|links|url|target|dir|dest|python))\s+\S+"
)
NAME = re.compile(r"[\"']?([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^\]]*\]?)?([<>=!~]=?\S*)?[\"'.,:]*")
ANOTHER_TOOL = "pip"  # which may bring itself up to date


def installed_names(text: str) -> set[str]:
    """The names that commands in a text take from an index: no paths, addresses, options or variables."""
    found = set()
    said = [command["rest"] for command in COMMAND.finditer(text)]
    said += [" ".join(re.findall(r'"([^"]*)"', one["rest"])) for one in IN_A_LIST.finditer(text)]
    for words in said:
        for word in WITH_VALUE.sub("", words).split():
            name = NAME.fullmatch(word)
            if name and not word.endswith((".txt", ".whl", ".toml")):
                found.add(canonicalize_name(name[1].rstrip(".")))
    return found


def tracked_files() -> list[Path]:
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT
    )
    return [file for name in listed.decode().split("\0") if name and (file := ROOT / name).is_file()]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("pip install flow-agent", {"flow-agent"}),
        ("`pip install 'flow-agent[server,telemetry]'`, or", {"flow-agent"}),
        ("python -m pip --quiet install -r a.txt Flow_Agent==1.0", {"flow-agent"}),
        ('[python, "-m", "pip", "install", "--quiet", "flow-agent"]', {"flow-agent"}),
        ("pipx install flow-agent", {"flow-agent"}),
        ("pip install --require-hashes -r install/requirements/server.txt; echo x", set()),
        ('[python, "-m", "pip", "install", "--quiet", wheel]', set()),
        ("pip install --no-deps ./x.whl . https://flows.lab/x.whl $PACKAGE", set()),
    ],
)
def test_names_are_found_in_commands(text: str, names: set[str]):
    assert installed_names(text) == names


def test_no_text_of_ours_installs_what_is_not_a_pinned_dependency():
    pinned = {pin.name for lock in LOCKS for pin in read_lock(lock)} | {ANOTHER_TOOL}
    found = {}
    for file in tracked_files():
        if file == Path(__file__):
            continue
        try:
            names = installed_names(file.read_text(encoding="utf-8")) - pinned
        except UnicodeDecodeError:
            continue
        if names:
            found[str(file.relative_to(ROOT))] = names
    assert found == {}


def test_no_text_of_ours_names_a_package_index():
    command = ["git", "grep", "--untracked", "-l", "-i", "-I", "pypi", "--", ".", ":!tests/test_texts.py"]
    named = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert named.stdout == ""
