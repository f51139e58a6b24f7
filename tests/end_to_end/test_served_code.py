"""The run's code, served as a git repository: `actions/checkout` and any other git find the work tree as it was submitted."""

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
