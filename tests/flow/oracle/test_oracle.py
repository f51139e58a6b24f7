"""Ours against GitHub's own parser, `@actions/workflow-parser`: the same files are valid, the same places are wrong.

Where the two differ on purpose, the rule is that of GitHub's server (actions/runner, the first authority), and the
difference is named below.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.flows import check_flow

from agent.flow.problems import Severity

from .corpus import GOOD, make_corpus

HERE = Path(__file__).parent
NOT_READ = re.compile(r"Not valid YAML|Unknown anchor")  # the package reads on with the wrong tokens

# The package refuses what the server takes.
SERVER_TAKES = re.compile(
    r"Unexpected type 'BasicExpressionToken' encountered while reading '(services|job env|step env|container env)'"
    r"|Unexpected type '(NumberToken|BooleanToken|NullToken)' encountered while reading 'input default'. "
    r"The type 'StringToken'"
    r"|Unexpected value 'repository_dispatch'"  # its table names another event there
    r"|The workflow must contain at least one job with no dependencies"  # follows from the first line here
)
# The server refuses what the package takes.
SERVER_REFUSES = re.compile(
    r"Expected format \{org\}|Matrix |^Matrix|reserved|Unexpected tag|IDs|Container image cannot be empty"
    r"|invalid value workflow reference|may not be used more than once"
    r"|cannot be combined|not allowed inside a parallel|Concurrency group name|Expected format '\{major"
)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """A function from texts to GitHub's errors for each."""
    if not shutil.which("npm") or not shutil.which("node"):
        return _do_without("node and npm are not on this machine")
    folder = tmp_path_factory.mktemp("oracle")
    for name in ("package.json", "check.mjs", "json_modules.mjs"):
        shutil.copy(HERE / name, folder)
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--cache", str(folder / "cache")]
    installed = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False)
    if installed.returncode:
        return _do_without(f"npm could not install GitHub's parser: {installed.stderr.strip()[-300:]}")

    def run(texts):
        done = subprocess.run(
            ["node", "--import", "./json_modules.mjs", "check.mjs"],
            cwd=folder,
            input="\n".join(json.dumps(text) for text in texts),
            capture_output=True,
            text=True,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def _do_without(reason):
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def test_good_workflows_are_good_for_both(oracle):
    assert oracle(GOOD) == [[] for _ in GOOD]
    assert [list_errors(text) for text in GOOD] == [[] for _ in GOOD]


def test_damaged_workflows_are_judged_alike_at_the_same_places(oracle):
    texts = make_corpus(count=600, seed=1)
    differences = [
        difference
        for text, theirs in zip(texts, oracle(texts), strict=True)
        if (difference := find_difference(text, theirs))
    ]
    assert differences == []


def list_errors(text):
    return [p for p in check_flow(text, "f.yml") if p.severity is Severity.ERROR]


def find_difference(text, theirs):
    """What ours and theirs disagree on beyond the named rules, for a person to read; or nothing."""
    ours = list_errors(text)
    if any(NOT_READ.match(p.message) for p in ours) or any(not line for line, _, _ in theirs):
        if any("raw.indexOf is not a function" in message for _, _, message in theirs):
            return None  # the package crashes on a key that is a number or a boolean
        alike = bool(ours) == bool(theirs)  # two YAML parsers stumble at different places
        return None if alike else _show(text, ours, theirs)
    places = {(p.position.line, p.position.column) for p in ours}
    missed = [
        error for error in theirs if (error[0], error[1]) not in places and not SERVER_TAKES.search(error[2])
    ]
    extra = [p for p in ours if not SERVER_REFUSES.search(p.message)] if not theirs else []
    return _show(text, extra, missed) if missed or extra else None


def _show(text, ours, theirs):
    return {"text": text, "only ours": [str(problem) for problem in ours], "only theirs": theirs}
