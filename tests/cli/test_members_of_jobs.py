"""The table of the contexts' members against what a job of ours really sees."""

import json
from pathlib import Path

from support.lab import run_agent

from agent.flow.dialects.github.table.members import (
    GITHUB,
    GITHUB_UNDOCUMENTED,
    JOB,
    NEED,
    RUNNER,
    STEP,
    STRATEGY,
)

COMPATIBILITY = Path(__file__).parents[2] / "docs" / "compatibility.md"

FLOW = """\
on: push
jobs:
  before: {runs-on: self-hosted, steps: [{run: 'true'}]}
  a:
    needs: before
    runs-on: self-hosted
    steps:
      - {id: one, run: 'true'}
      - {id: two, uses: ./action}
      - shell: python
        run: |  # here, and not in `env`: the files of a step are made behind its environment
          import json
          contexts = json.loads(r'''{
            "github": ${{ toJSON(github) }}, "runner": ${{ toJSON(runner) }}, "strategy": ${{ toJSON(strategy) }},
            "job": ${{ toJSON(job) }}, "step": ${{ toJSON(steps.one) }}, "need": ${{ toJSON(needs.before) }},
            "within": ${{ steps.two.outputs.github }}
          }''')
          print("keys", json.dumps({name: sorted(value) for name, value in contexts.items()}))
"""
ACTION = """\
name: a
outputs: {github: {value: '${{ toJSON(github) }}'}}
runs: {using: composite, steps: [{shell: bash, run: 'true'}]}
"""

# What GitHub has and a job of ours does not: docs/compatibility.md says so.
NOT_THERE = {
    "github": {
        "artifacts",
        "artifacts_list",
        *GITHUB_UNDOCUMENTED,
    },
    "job": {"check_run_id"},
}
# Only in called flows, in actions of other repositories (tests/behaviour/composite/action_path.yml), and while somebody looks for faults.
SOMETIMES = {"github": {"job_workflow_sha", "action_ref", "action_repository"}, "runner": {"debug"}}


def test_a_job_sees_each_member_of_the_table_or_the_documents_say_that_it_does_not(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "action").mkdir(parents=True)
    (project / "action" / "action.yml").write_text(ACTION)
    (project / "flow.yml").write_text(FLOW)
    state = {"AGENT_STATE": str(tmp_path / "state"), "TMPDIR": str(tmp_path)}
    done = run_agent("flow", "run", project / "flow.yml", "--format", "json", cwd=project, environment=state)
    assert done.code == 0, done.err
    (line,) = [
        record["text"]
        for record in done.records()
        if record["kind"] == "log" and record["text"].startswith("keys {")
    ]
    seen = {name: set(names) for name, names in json.loads(line.removeprefix("keys ")).items()}
    seen["github"] |= seen.pop("within")
    table = {
        "github": {*GITHUB, *GITHUB_UNDOCUMENTED}, "runner": {*RUNNER}, "strategy": {*STRATEGY}, "job": {*JOB},
        "step": {*STEP}, "need": {*NEED},
    }  # fmt: skip
    missing = {
        name: names - seen[name] - SOMETIMES.get(name, set())
        for name, names in table.items()
        if not names <= seen[name] | SOMETIMES.get(name, set())
    }
    assert missing == NOT_THERE
    unknown = {name: seen[name] - names for name, names in table.items() if seen[name] - names}
    assert unknown == {}, "what a job sees and the table does not know would be warned about"


def test_what_is_not_there_is_documented() -> None:
    text = COMPATIBILITY.read_text(encoding="utf-8")
    for context, names in NOT_THERE.items():
        for name in names:
            assert f"`{context}.{name}`" in text
