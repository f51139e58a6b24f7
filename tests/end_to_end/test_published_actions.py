"""Published actions, run unmodified against a server: what goes beyond the run's own code (test_served_code.py)."""

import pytest
from support.lab import Lab
from support.published import CLONES, needs

pytestmark = pytest.mark.end_to_end


def run(lab: Lab, name: str, jobs: str) -> list[str]:
    """The log of the job `it`, which succeeds."""
    number = lab.submit(lab.write_flow(jobs, name))
    view = lab.wait_for_run(number)
    lines = lab.lines(number, "it")
    assert view["conclusion"] == "success", "\n".join(lines)
    return lines


@needs("actions/cache")
def test_actions_cache_saves_restores_by_prefix_and_does_not_overwrite(lab: Lab) -> None:
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
