"""Data in and out of jobs, `brings` and `keeps`, between real jobs of a real server on real agents."""

from pathlib import Path

import pytest
from support.lab import Lab

TRAIN_AND_USE = r"""
  train:
    runs-on: self-hosted
    keeps: [model, out/, {path: acc.txt, as: text, name: acc}, {path: scratch, as: volume}]
    steps:
      - run: |
          mkdir -p model/empty model/bin scratch
          echo weights > model/w.bin; echo 'echo hi' > model/bin/run; chmod +x model/bin/run; ln -s bin/run model/link
          echo 0.9 > acc.txt; echo result > out/r.txt; echo s > scratch/s
  use:
    needs: train
    runs-on: self-hosted
    brings:
      - {job: train}
      - {job: train, name: model, path: named}
      - {job: train, name: out, path: /inputs/out, read-only: true}
      - {text: "ä text", path: t/text.txt}
    steps:
      - run: |
          test "$(cat model/w.bin named/w.bin out/r.txt scratch/s)" = "$(printf 'weights\nweights\nresult\ns')"
          test -x model/bin/run; test ! -x model/w.bin; test -d model/empty; test "$(readlink named/link)" = bin/run
          test "$(cat "$FLOW_INPUTS/out/r.txt")" = result; test ! -w "$FLOW_INPUTS/out/r.txt" || test "$(id -u)" = 0
          test "$(cat t/text.txt)" = "ä text"
          echo "accuracy ${{ needs.train.outputs.acc }}"
"""


@pytest.mark.store("sqlite", "postgresql")
def test_what_one_job_keeps_another_is_brought(lab: Lab) -> None:
    lab.add_agent("box")
    run = lab.submit(lab.write_flow(TRAIN_AND_USE))
    assert lab.wait_for_run(run)["conclusion"] == "success", lab.lines(run, "use") + lab.lines(run, "train")
    assert "accuracy 0.9" in lab.lines(run, "use")
    assert any("from this machine" in line for line in lab.lines(run, "use"))
    names = {item["name"] for item in lab.get("artifact", "list", str(run))}
    assert names == {"train.model", "train.out", "train.scratch"}


def test_what_was_kept_on_one_machine_comes_whole_to_another(lab: Lab, tmp_path: Path) -> None:
    lab.add_agent("one", "--labels", "one")
    lab.add_agent("two", "--labels", "two")
    flow = TRAIN_AND_USE.replace("self-hosted", "one", 1).replace("runs-on: self-hosted", "runs-on: two")
    run = lab.submit(lab.write_flow(flow))
    assert lab.wait_for_run(run)["conclusion"] == "success", lab.lines(run, "use")
    said = lab.lines(run, "use")
    fetched = [line for line in said if line.startswith("what job 'train' kept:")]
    assert len(fetched) == 3
    assert not any("from this machine" in line for line in fetched)
    (again,) = (line for line in said if line.startswith("what job 'train' kept 'model'"))
    assert "from this machine" in again  # it has come once
    done = lab.agent("artifact", "download", str(run), "train.model", "--output", tmp_path / "got")
    assert done.code == 0, done.err
    assert (tmp_path / "got" / "w.bin").read_text() == "weights\n"


def test_each_cell_of_a_matrix_keeps_its_own_and_another_job_gets_all_of_them(lab: Lab) -> None:
    lab.add_agent("box")
    flow = """
  train:
    runs-on: self-hosted
    strategy: {matrix: {size: [small, large]}}
    keeps: [model.txt]
    steps: [{run: "echo ${{ matrix.size }} > model.txt"}]
  use:
    needs: train
    runs-on: self-hosted
    brings: [{job: train, path: all}]
    steps: [{run: "cat 'all/model.txt/train (small)' 'all/model.txt/train (large)'"}]
"""
    run = lab.submit(lab.write_flow(flow))
    assert lab.wait_for_run(run)["conclusion"] == "success", lab.lines(run, "use")
    assert [line for line in lab.lines(run, "use") if line in ("small", "large")] == ["small", "large"]


def test_of_a_failed_job_only_what_is_always_kept_or_live_is_kept(lab: Lab) -> None:
    lab.add_agent("box")
    flow = """
  train:
    runs-on: self-hosted
    keeps: [model, {path: log, always: true}, {path: live, live: true}]
    steps: [{run: "mkdir model log live; echo m > model/m; echo l > log/l; echo v > live/v; exit 3"}]
  after:
    needs: train
    if: always()
    runs-on: self-hosted
    brings: [{job: train, name: log}, {job: train, name: model, optional: true}]
    steps: [{run: "cat log/l; test ! -e model"}]
"""
    run = lab.submit(lab.write_flow(flow))
    assert lab.wait_for_run(run)["conclusion"] == "failure"
    assert {item["name"] for item in lab.get("artifact", "list", str(run))} == {"train.log", "train.live"}
    jobs = {job["key"]: job["conclusion"] for job in lab.run(run)["jobs"]}
    assert jobs == {"train": "failure", "after": "success"}


def test_a_source_that_another_job_never_made_ends_the_job_with_its_place_and_nothing_is_started(
    lab: Lab,
) -> None:
    lab.add_agent("box")
    flow = """
  train: {runs-on: self-hosted, steps: [{run: "true"}], keeps: [{path: x/, name: x}]}
  use:
    needs: train
    runs-on: self-hosted
    brings: [{job: train, name: model}]
    steps: [{run: "true"}]
"""
    file = lab.write_flow(flow)
    run = lab.submit(file)
    assert lab.wait_for_run(run)["conclusion"] == "failure"
    (job,) = (job for job in lab.run(run)["jobs"] if job["key"] == "use")
    assert f"job 'train' has kept no 'model' ({file}:9:14); kept are: x" in job["message"]
    assert job["started"] is None
