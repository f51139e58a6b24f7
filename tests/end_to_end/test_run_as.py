"""A server, an agent of root's, jobs of another user: code out, artifacts in, and nothing that root alone may read."""

from pathlib import Path

import pytest
from support import lab as labs
from support.git import make_repository
from support.lab import Lab
from support.second_user import open_folder, second_user

JOB = """
  a:
    runs-on: self-hosted
    steps:
      - uses: flow-agent/checkout@v1
      - run: |
          echo "i am $(id -un)"; cat code.txt
          mkdir out; echo fine > out/fine.txt; ln -s SECRET out/leak.txt; ln -s FOLDER out/leaks
      - uses: flow-agent/upload-artifact@v1
        continue-on-error: true
        with: {name: out, path: out}
      - run: rm out/leak.txt out/leaks
      - uses: flow-agent/upload-artifact@v1
        with: {name: fine, path: out}
"""


def test_code_and_artifacts_go_their_way_and_what_root_alone_may_read_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with second_user() as user, open_folder() as folder:
        monkeypatch.setattr(
            labs, "command_line", lambda *words: [user.python, "-m", "agent", *map(str, words)]
        )
        secret = folder / "root-only"
        secret.mkdir()
        (secret / "key").write_text("hunter2")
        secret.chmod(0o700)
        make_repository(folder / "project", {"code.txt": "the code\n"})
        text = JOB.replace("SECRET", str(secret / "key")).replace("FOLDER", str(secret))
        (folder / "project/flow.yml").write_text(f"name: t\non: workflow_dispatch\njobs:{text}")
        with Lab(folder, {**user.environment, "AGENT_RUN_AS": user.name}) as lab:
            lab.start_server()
            lab.add_agent("box")
            run = lab.submit(folder / "project/flow.yml", "--source", "snapshot")
            view = lab.wait_for_run(run)
            lines = lab.lines(run, "a")
            found = tmp_path / "found"
            done = lab.agent("run", "download", str(run), "--dir", found)
    assert view["conclusion"] == "success", "\n".join(lines)
    assert f"i am {user.name}" in lines
    assert "the code" in lines
    assert done.code == 0, done.err
    files = [file for file in found.rglob("*") if file.is_file()]
    assert {file.read_text() for file in files} == {"fine\n"}


DATA = """
  a:
    runs-on: self-hosted
    keeps: [{path: out, name: out}, {path: /outputs/v, as: volume, name: v}, {path: SECRET, name: leak, always: true}]
    steps: [{run: "mkdir out; echo fine > out/f; echo v > $FLOW_OUTPUTS/v/f"}]
  b:
    needs: a
    if: always()
    runs-on: self-hosted
    brings: [{job: a, name: out, path: got}, {job: a, name: v, path: /inputs/v, read-only: true}]
    steps: [{run: "cat got/f $FLOW_INPUTS/v/f; echo x 2>/dev/null > $FLOW_INPUTS/v/f || echo kept from writing"}]
"""


def test_data_is_brought_and_kept_with_the_rights_of_the_jobs_user(monkeypatch: pytest.MonkeyPatch) -> None:
    with second_user() as user, open_folder() as folder:
        monkeypatch.setattr(
            labs, "command_line", lambda *words: [user.python, "-m", "agent", *map(str, words)]
        )
        secret = folder / "root-only"
        secret.mkdir()
        (secret / "key").write_text("hunter2")
        secret.chmod(0o700)
        (folder / "flow.yml").write_text(f"on: workflow_dispatch\njobs:{DATA.replace('SECRET', str(secret))}")
        with Lab(folder, {**user.environment, "AGENT_RUN_AS": user.name}) as lab:
            lab.start_server()
            lab.add_agent("box")
            run = lab.submit(folder / "flow.yml")
            view = lab.wait_for_run(run)
            made, used = lab.lines(run, "a"), lab.lines(run, "b")
            names = {item["name"] for item in lab.get("artifact", "list", str(run))}
    assert any("can't be kept: Permission denied" in line for line in made), made
    assert names == {"out", "v"}
    assert {job["key"]: job["conclusion"] for job in view["jobs"]} == {"a": "failure", "b": "success"}, used
    assert used[-3:] == ["fine", "v", "kept from writing"]
    assert not any("from this machine" in line for line in used)
