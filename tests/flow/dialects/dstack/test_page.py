"""The page and the schema of dstack's language, made from its table."""

import re
from pathlib import Path

import yaml
from end_to_end import test_dstack_files as runs

from agent.flow.dialects.dstack.table.files import LANGUAGE_FIELDS, PROVIDERS_FIELDS, VARIABLES_FIELDS
from agent.flow.dialects.dstack.table.providers import PROVIDERS
from agent.flow.document import list_sections
from agent.flow.load import LIMITS, find_front_end

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "dialects" / "dstack-keys.md"
RUNNING = (ROOT / "tests" / "end_to_end", ROOT / "tests" / "containers")
FILES = ROOT / "tests" / "end_to_end" / "dstack" / "workflows"
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
    for line in PAGE.with_name("dstack.md")
    .read_text()
    .partition("## Keys")[2]
    .partition("## Commands")[0]
    .splitlines()
    if line.startswith("| ") and not line.startswith(("| key", "| ---"))
]


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


def test_each_row_says_how_it_works_and_is_shown_by_something_that_runs_here_and_through_a_server():
    known = {name for folder in RUNNING for file in folder.glob("test_*.py") for name in find_tests(file)}
    validating = find_tests(*Path(__file__).parent.glob("test_*.py"))
    assert len(ROWS) > 40
    for key, how, difference, shown in ROWS:
        assert how in ("works", "works differently", "accepted, no effect"), key
        assert how == "works" or difference, key
        files = re.findall(r"E ([a-z_, ]+)", re.sub(r"`[^`]*`", "", shown))
        names = [name.strip() for listed in files for name in listed.split(",") if name.strip()]
        assert all((FILES / f"{name}.yaml").exists() for name in names), (key, names)
        tests = set(re.findall(r"`(test_\w+)`", shown))
        assert tests <= known | validating, (key, tests - known - validating)
        assert names or tests & known, f"{key}: nothing of this runs"


def test_every_key_stands_in_a_workflow_that_runs_here_and_through_a_server():
    cases = (*runs.CASES, *runs.DATA_CASES, *runs.APART, runs.show_run(""))
    run = {job for case in cases for job in (*case.said, *case.silent)}
    used: dict[str, set[str]] = {"a file": {"workflows"}}
    for file in (FILES.parent / "workflows.yaml", *FILES.glob("*.yaml")):
        for workflow in yaml.safe_load(file.read_text())["workflows"]:
            if workflow["name"] in run:
                provider = workflow["provider"]
                used.setdefault(provider if isinstance(provider, str) else "elsewhere", set()).update(
                    list_keys(workflow)
                )
    for name in ("variables", "providers"):
        used[name] = list_keys(yaml.safe_load((FILES.parent / f"{name}.yaml").read_text()))
    everything = set().union(*used.values())
    for file in (LANGUAGE_FIELDS, VARIABLES_FIELDS, PROVIDERS_FIELDS):
        for fields, _ in list_sections(file, lambda *_: False):
            assert set(fields.keys) - everything == set(), f"{fields.name}: no workflow that runs has these"
    owners = {key: [name for name, fields in PROVIDERS.items() if key in fields.keys] for key in everything}
    for name in PROVIDERS:
        own = {key for key, providers in owners.items() if providers == [name]}
        assert own - used[name] == set(), f"{name}: no workflow of it that runs has these"


def find_tests(*files):
    return {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())}


def list_keys(node):
    if isinstance(node, dict):
        return {str(key) for key in node}.union(*map(list_keys, node.values()))
    return set().union(*map(list_keys, node)) if isinstance(node, list) else set()
