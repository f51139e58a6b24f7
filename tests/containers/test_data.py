"""`/inputs` and `/outputs`: the folders of a job's data, in its container and in those of its container steps."""

import os
from pathlib import Path

from support.docker import BUSYBOX
from support.lab import run_agent

JOBS = f"""
  make:
    runs-on: self-hosted
    container: {BUSYBOX}
    keeps:
      - {{path: /outputs/vol, as: volume, name: vol}}
      - {{path: /outputs/acc, as: text}}
      - {{path: /data/whole/, name: whole, as: volume}}
      - {{path: ~/.cache/pip, name: pip, as: cache}}
    steps:
      - run: echo w > /data/whole/w; mkdir -p ~/.cache/pip; echo c > ~/.cache/pip/c
      - run: echo in > /outputs/vol/a; printf 7 > /outputs/acc; echo "$FLOW_OUTPUTS"
  use:
    needs: make
    runs-on: self-hosted
    container: {BUSYBOX}
    brings: [{{job: make, name: vol, path: /inputs/data}}, {{text: "${{{{ needs.make.outputs.acc }}}}", path: /inputs/acc}}, {{job: make, name: whole, path: /srv/whole}}, {{cache: pip, path: ~/.cache/pip}}]
    keeps: [{{path: /outputs/copy, as: artifact, name: copy}}]
    steps:
      - run: cp /inputs/data/a /inputs/acc /outputs/copy/; echo x 2>/dev/null > /inputs/data/a || echo "read-only $FLOW_INPUTS"
      - run: cat /srv/whole/w ~/.cache/pip/c
      - run: echo x 2>/dev/null > /__w/_data/inputs/acc || echo "read-only in the other place"
      - uses: docker://{BUSYBOX}
        with: {{entrypoint: /bin/sh, args: "-c 'cat /inputs/acc; touch /inputs/acc 2>/dev/null || echo no; echo s > /outputs/copy/step'"}}
  host:
    needs: use
    runs-on: self-hosted
    brings: [{{job: use, path: got}}]
    steps: [{{run: "cat got/outputs/copy/a got/outputs/copy/acc got/outputs/copy/step"}}]
"""


def test_containers_find_what_was_brought_read_only_and_what_they_leave_is_kept(
    tmp_path: Path, engine_address: str
) -> None:
    flow = tmp_path / "project" / "flow.yml"
    flow.parent.mkdir()
    flow.write_text(f"on: workflow_dispatch\njobs:\n{JOBS}")
    environment = {
        **os.environ,
        "AGENT_STATE": str(tmp_path / "state"),
        "TMPDIR": str(tmp_path),
        "DOCKER_HOST": engine_address,
    }
    done = run_agent("flow", "run", flow, "--format", "json", cwd=flow.parent, environment=environment)
    assert done.code == 0, done.out
    logs = [record["text"] for record in done.records() if record["kind"] == "log"]
    assert "/outputs" in logs
    assert "read-only /inputs" in logs
    assert "read-only in the other place" in logs
    assert "7no" in logs
    assert logs[logs.index("read-only /inputs") + 1 :].index("w") + 1 == logs[
        logs.index("read-only /inputs") + 1 :
    ].index("c")
    assert logs[-2:] == ["in", "7s"]
