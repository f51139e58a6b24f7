"""Jobs that are tried again, on a real server and agent: what who looks on is told, and what becomes of their artifacts."""

from pathlib import Path

from support.lab import Lab

TRIES = """  train:
    runs-on: self-hosted
    retry: {{max: 2, backoff: {{seconds: 1}}}}
    steps:
      - run: echo x >> {tries}; cp {tries} log
      - {{uses: flow-agent/upload-artifact@v1, with: {{name: logs, path: log}}}}
      - run: test $(wc -l < log) -ge 2
"""


def test_every_attempt_may_upload_under_the_same_name_and_the_last_ones_is_the_runs(
    lab: Lab, tmp_path: Path
) -> None:
    lab.add_agent("box")
    flow = lab.write_flow(TRIES.format(tries=tmp_path / "tries"))
    done = lab.agent("flow", "submit", flow, "--source", "none", "--follow")
    assert done.code == 0, done.out + done.err
    ends = [line for line in done.out.splitlines() if line.startswith(("✗ job", "✓ job"))]
    assert [end.split(":")[0] for end in ends] == ["✗ job train failure", "✓ job train (attempt 2) success"]
    failed = done.out.index("✗ job train")
    assert failed < done.out.index("failed; attempt 2 begins in") < done.out.index("(attempt 2)")
    assert lab.agent("run", "rerun", "1").code == 0
    assert lab.wait_for_run(1)["conclusion"] == "success"
    assert [artifact["name"] for artifact in lab.get("artifact", "list", "1")] == ["logs"]
    assert lab.agent("run", "download", "1", "--dir", tmp_path / "got").code == 0
    assert (next((tmp_path / "got").rglob("log"))).read_text() == "x\n" * 3
