"""From a folder on a laptop through a job on a real agent to a new version, and the lineage that says so."""

import sys
from pathlib import Path

from support.lab import Lab, wait_for

FLOW = """\
name: clean
on:
  dataset_version: {{names: [raw]}}
jobs:
  clean:
    runs-on: self-hosted
    env:
      AGENT_URL: {url}
      AGENT_TOKEN: ${{{{ github.token }}}}
    steps:
      - run: |
          {agent} dataset pull raw:${{{{ github.event.version.version }}}} raw
          mkdir clean
          tr a-z A-Z < raw/words.txt > clean/words.txt
          {agent} dataset push clean clean --create --tag best --message "from ${{{{ github.event.version.ref }}}}"
"""


def test_a_version_starts_a_flow_that_makes_another_one(lab: Lab, tmp_path: Path) -> None:
    lab.add_agent("box")
    flow = tmp_path / "clean.yml"
    flow.write_text(FLOW.format(url=lab.url, agent=f"{sys.executable} -P -m agent"))
    assert lab.agent("flow", "store", flow).code == 0
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "words.txt").write_text("hello\n")
    pushed = lab.agent("dataset", "push", raw, "raw", "--create")
    assert pushed.code == 0, pushed.err
    run = wait_for(lambda: lab.get("run", "list"), "the run that the version starts")[0]["id"]
    done = lab.wait_for_run(run)
    assert done["conclusion"] == "success", lab.lines(run, "clean")

    assert lab.agent("dataset", "pull", "clean:best", tmp_path / "out").code == 0
    assert (tmp_path / "out" / "words.txt").read_text() == "HELLO\n"
    uses = lab.get("dataset", "lineage", "--run", str(run))
    assert [(use["direction"], use["ref"]) for use in uses] == [("read", "raw:1"), ("made", "clean:1")]
    made = lab.get("dataset", "lineage", "clean:best")
    assert [use["ref"] for use in made["inputs"]] == ["raw:1"]
    assert (made["version"]["run"], made["version"]["message"]) == (run, "from raw:1")
    read = lab.get("dataset", "lineage", "raw")
    assert [use["run"] for use in read["readers"]] == [run]
