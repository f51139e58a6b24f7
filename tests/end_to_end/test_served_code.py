"""The run's code, served as a git repository: `actions/checkout` and any other git find the work tree as it was submitted."""

import json
import os
from pathlib import Path

import pytest
from support.git import Repository, make_repository
from support.lab import Lab

CLONES = os.environ.get("FLOW_PUBLISHED_ACTIONS", "")
pytestmark = pytest.mark.end_to_end
needs_clones = pytest.mark.skipif(
    not CLONES, reason="FLOW_PUBLISHED_ACTIONS does not say where the actions are"
)


FILTERS = """
on: pull_request
jobs:
  it:
    runs-on: self-hosted
    steps:
      - uses: actions/checkout@v4
      - {id: api, uses: dorny/paths-filter@%s, with: {filters: "{one: [one.txt], sub: ['sub/**']}"}}
      - run: echo "saw api ${{ steps.api.outputs.one }} ${{ steps.api.outputs.sub }}"
      - {id: git, uses: dorny/paths-filter@%s, with: {token: '', filters: "{one: [one.txt], sub: ['sub/**']}"}}
      - run: echo "saw git ${{ steps.git.outputs.one }} ${{ steps.git.outputs.sub }}"
"""


@pytest.fixture
def served(lab: Lab) -> Lab:
    lab.add_agent(
        "box", environment={"AGENT_ACTIONS_URL": f"file://{CLONES or '/nowhere'}/{{owner}}/{{repo}}"}
    )
    return lab


@pytest.fixture
def code(tmp_path: Path) -> Repository:
    """A repository with history, and a work tree that nobody has committed."""
    repository = make_repository(tmp_path / "code" / "lab", {"one.txt": "1\n", "sub/two.txt": "2\n"})
    repository.git("remote", "add", "origin", "https://git.example.org/acme/lab.git")
    repository.git("branch", "other")
    repository.commit({"one.txt": "11\n"})
    (repository.folder / "one.txt").write_text("not committed\n")
    (repository.folder / "new.txt").write_text("new\n")
    return repository


def submit(lab: Lab, code: Repository, steps: str) -> list[str]:
    file = code.folder / "flow.yml"
    file.write_text(f"on: push\njobs:\n  it:\n    runs-on: self-hosted\n    steps:\n{steps}")
    number = lab.submit(file, "--source", "snapshot")
    view = lab.wait_for_run(number)
    lines = lab.lines(number, "it")
    assert view["conclusion"] == "success", "\n".join(lines)
    return lines


@needs_clones
@pytest.mark.parametrize("version", ["v2", "v3", "v4", "v5", "v6", "v7"])
def test_published_checkout_has_what_is_not_committed(served: Lab, code: Repository, version: str) -> None:
    lines = submit(
        served,
        code,
        f"""
      - uses: actions/checkout@{version}
      - run: |
          cat one.txt new.txt
          git status --short | sed 's/^/dirty: /'
          test "$(git rev-parse HEAD)" = "$GITHUB_SHA"
          git rev-list --count HEAD | sed 's/^/depth /'
""",
    )
    assert "not committed" in lines
    assert "new" in lines
    assert "depth 1" in lines
    assert not [line for line in lines if line.startswith("dirty")]


@needs_clones
def test_published_checkout_has_history_other_refs_parts_and_two_places(
    served: Lab, code: Repository
) -> None:
    lines = submit(
        served,
        code,
        """
      - uses: actions/checkout@v4
        with: {fetch-depth: 0}
      - run: |
          git rev-list --count HEAD | sed 's/^/depth /'
          git diff --name-only HEAD^ | sed 's/^/changed /'
          git tag | sed 's/^/tag /'
      - uses: actions/checkout@v5
        with: {ref: other, path: first}
      - uses: actions/checkout@v6
        with: {path: second, sparse-checkout: sub, fetch-tags: true}
      - run: |
          cat first/one.txt | sed 's/^/other /'
          ls second second/sub | sed 's/^/part /'
""",
    )
    assert {
        "depth 3",
        "changed new.txt",
        "changed one.txt",
        "tag v1",
        "other 1",
        "part sub",
        "part two.txt",
    } <= {*lines}


@needs_clones
@pytest.mark.parametrize("version", ["v3", "v4"])
def test_published_paths_filter_sees_what_a_request_changes(
    served: Lab, code: Repository, tmp_path: Path, version: str
) -> None:
    event = {
        "number": 5,
        "pull_request": {
            "number": 5,
            "changed_files": 2,
            "base": {"ref": "main", "sha": code.head},
            "head": {"ref": "topic", "sha": "0" * 40},
        },
    }
    (tmp_path / "event.json").write_text(json.dumps(event))
    (code.folder / "flow.yml").write_text(FILTERS % (version, version))
    options = (
        "--source",
        "snapshot",
        "--event",
        "pull_request",
        "--event-file",
        str(tmp_path / "event.json"),
    )
    number = served.submit(code.folder / "flow.yml", *options)
    assert served.wait_for_run(number)["conclusion"] == "success", "\n".join(served.lines(number, "it"))
    said = [line for line in served.lines(number, "it") if line.startswith("saw")]
    assert said == ["saw api true false", "saw git true false"]
