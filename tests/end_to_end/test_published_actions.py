"""Published actions, run unmodified against a server.

FLOW_PUBLISHED_ACTIONS names a folder with clones of their repositories, `OWNER/REPO` each; tests don't fetch from the
network. What was run, and when, is in docs/compatibility.md.
"""

import os
from pathlib import Path

import pytest
from support.lab import Lab, run_agent

CLONES = os.environ.get("FLOW_PUBLISHED_ACTIONS", "")

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(not CLONES, reason="FLOW_PUBLISHED_ACTIONS does not say where the actions are"),
]


def run(lab: Lab, name: str, jobs: str) -> list[str]:
    """The log of the job `it`, which succeeds."""
    number = lab.submit(lab.write_flow(jobs, name))
    view = lab.wait_for_run(number)
    lines = lab.lines(number, "it")
    assert view["conclusion"] == "success", "\n".join(lines)
    return lines


def test_actions_cache_saves_restores_by_prefix_and_does_not_overwrite(lab: Lab) -> None:
    if not (Path(CLONES) / "actions" / "cache").exists():
        pytest.skip("there is no clone of actions/cache")
    template = f"file://{CLONES}/{{owner}}/{{repo}}"
    lab.add_agent("box", environment={"AGENT_ACTIONS_URL": template})
    job = """
  it:
    runs-on: self-hosted
    steps:
      - id: cache
        uses: actions/cache@v5
        with: {path: stuff, key: "%s", restore-keys: "deps-"}
      - run: |
          echo "hit=[${{ steps.cache.outputs.cache-hit }}] found=[$(cat stuff/word 2>/dev/null)]"
          mkdir -p stuff; echo %s > stuff/word; head -c 40000000 /dev/urandom > stuff/large
"""
    first = run(lab, "first", job % ("deps-1", "one"))
    assert "hit=[] found=[]" in first
    assert any("Cache saved with key: deps-1" in line for line in first), "\n".join(first)
    second = run(lab, "second", job % ("deps-2", "two"))
    assert "hit=[false] found=[one]" in second
    third = run(lab, "third", job % ("deps-1", "three"))
    assert "hit=[true] found=[one]" in third
    assert any("not saving cache" in line for line in third), "\n".join(third)
    shown = lab.get("cache", "list")["caches"]
    assert {row["key"] for row in shown} == {"deps-1", "deps-2"}
    assert lab.agent("cache", "delete", "deps-1").code == 0
    assert [row["key"] for row in lab.get("cache", "list")["caches"]] == ["deps-2"]


def test_actions_cache_has_a_hit_in_the_second_local_run(tmp_path: Path) -> None:
    if not (Path(CLONES) / "actions" / "cache").exists():
        pytest.skip("there is no clone of actions/cache")
    (tmp_path / "flow.yml").write_text("""
on: workflow_dispatch
jobs:
  it:
    runs-on: self-hosted
    steps:
      - id: cache
        uses: actions/cache@v5
        with: {path: stuff, key: deps-1}
      - run: |
          echo "hit=[${{ steps.cache.outputs.cache-hit }}] found=[$(cat stuff/word 2>/dev/null)]"
          mkdir -p stuff; echo one > stuff/word
""")
    told = {
        "AGENT_ACTIONS_URL": f"file://{CLONES}/{{owner}}/{{repo}}",
        "AGENT_STATE": str(tmp_path / "state"),
    }
    words = ("flow", "run", tmp_path / "flow.yml", "--format", "json")
    first, second = (run_agent(*words, cwd=tmp_path, environment=told) for _ in range(2))
    for done, line in ((first, "hit=[] found=[]"), (second, "hit=[true] found=[one]")):
        assert done.code == 0, done.out + done.err
        assert line in [record.get("text") for record in done.records()]
