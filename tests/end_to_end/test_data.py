"""Data in and out of jobs, `brings` and `keeps`, between real jobs of a real server on real agents."""

import os
import signal
from pathlib import Path

import pytest
from support.lab import Done, Lab, supervisor_pids, wait_for

from agent.journal.file import JournalReader
from agent.journal.format import StepChanged

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
    done = lab.agent("artifact", "download", str(run), "train.model", "--dir", tmp_path / "got")
    assert done.code == 0, done.err
    assert (tmp_path / "got" / "train.model" / "w.bin").read_text() == "weights\n"
    assert (tmp_path / "got" / "train.model" / "link").readlink() == Path("bin/run")


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


KEEP = """
  train:
    runs-on: self-hosted
    keeps: [{path: model, name: model}, {path: v, as: volume}]
    steps: [{run: "mkdir model v; echo ${{ inputs.w }} > model/w; echo v > v/v; test ${{ inputs.w }} != bad"}]
"""
USE = """
  use:
    runs-on: self-hosted
    brings: [{%s, name: model, path: got}]
    steps: [{run: "echo got $(cat got/w)"}]
"""


def keep(lab: Lab, weights: str) -> int:
    flow = lab.folder / "train.yml"
    flow.write_text(
        f"name: train\non: {{workflow_dispatch: {{inputs: {{w: {{type: string}}}}}}}}\njobs:\n{KEEP}"
    )
    run = lab.submit(flow, "--source", "none", "--input", f"w={weights}")
    lab.wait_for_run(run)
    return run


def use(lab: Lab, source: str) -> list[str]:
    run = lab.submit(lab.write_flow(USE % source, "use"))
    assert lab.wait_for_run(run)["conclusion"] == "success", lab.lines(run, "use")
    said = lab.lines(run, "use")
    return [line for line in said if line.startswith("got ")]


def refusal(lab: Lab, source: str) -> str:
    done = lab.agent("flow", "submit", lab.write_flow(USE % source, "use"), "--source", "none")
    assert done.code != 0
    return done.err


@pytest.mark.store("sqlite", "postgresql")
def test_the_last_run_in_which_the_job_succeeded_is_found_or_the_run_refused_when_submitted(lab: Lab) -> None:
    lab.add_agent("box")
    place = f"({lab.folder}/use.yml:7:14)"
    never = refusal(lab, "last: train, flow: train")
    assert f"job 'train' of the flow 'train' has never run {place}" in never
    keep(lab, "bad")
    assert f"has not succeeded in any run {place}" in refusal(lab, "last: train, flow: train.yml")
    keep(lab, "one")
    keep(lab, "two")
    keep(lab, "bad")
    assert use(lab, "last: train, flow: train.yml") == ["got two"]


@pytest.mark.store("sqlite", "postgresql")
def test_the_run_that_has_a_tag_is_found_until_it_is_taken_off(lab: Lab) -> None:
    lab.add_agent("box")
    assert f"there is no tag 'best' ({lab.folder}/use.yml:7:14)" in refusal(lab, "tag: best")
    run = keep(lab, "one")
    assert lab.agent("tag", "add", "best", "--run", str(run)).code == 0
    keep(lab, "two")
    assert use(lab, "tag: best") == ["got one"]
    assert lab.agent("tag", "delete", "best").code == 0
    assert "there is no tag 'best'" in refusal(lab, "tag: best")


def test_folders_of_a_laptop_get_a_tag_without_a_run_of_their_own_and_are_brought_by_it(
    lab: Lab, tmp_path: Path
) -> None:
    lab.add_agent("box")
    folder = tmp_path / "model"
    (folder / "empty").mkdir(parents=True)
    (folder / "w").write_text("mine\n")
    (folder / "link").symlink_to("w")
    done = lab.agent("tag", "add", "mine", "--path", folder)
    assert done.code == 0, done.err
    assert use(lab, "tag: mine") == ["got mine"]
    (listed,) = lab.get("tag", "list", "mine")
    assert listed["kind"] == "run"
    assert lab.agent("tag", "add", "other", "--path", tmp_path / "nothing").code == 1
    assert lab.agent("tag", "delete", "mine").code == 0
    assert "there is no tag 'mine'" in refusal(lab, "tag: mine")


def test_another_project_is_read_only_by_runs_of_who_may_read_it(lab: Lab) -> None:
    lab.add_agent("box")
    run = keep(lab, "secret")
    assert lab.agent("tag", "add", "best", "--run", str(run)).code == 0
    for words in (
        ("project", "create", "other"),
        ("user", "create", "ada", "--service"),
        ("user", "set-role", "ada", "runner", "--project", "other"),
    ):
        assert lab.agent("server", *words, "--data", lab.data).code == 0
    made = lab.agent("server", "user", "token", "ada", "--data", lab.data)
    as_ada = {"AGENT_TOKEN": made.out.strip(), "AGENT_PROJECT": "other"}
    flow = lab.write_flow(USE % "tag: best, project: default", "use")

    def submit(environment: dict[str, str]) -> Done:
        return lab.agent(
            "flow", "submit", flow, "--source", "none", "--format", "json", environment=environment
        )

    refused = submit(as_ada)
    assert refused.code != 0
    assert "there is no project 'default' that this run may read" in refused.err
    assert "(" + f"{flow}:7:14" + ")" in refused.err
    limited = lab.agent(
        "server",
        "user",
        "create-token",
        "admin",
        "--project",
        "other",
        "--role",
        "runner",
        "--data",
        lab.data,
    )
    assert submit({"AGENT_TOKEN": limited.out.strip(), "AGENT_PROJECT": "other"}).code != 0
    viewer = ("user", "set-role", "ada", "viewer", "--project", "default", "--data", lab.data)
    assert lab.agent("server", *viewer).code == 0
    done = submit(as_ada)
    assert done.code == 0, done.err
    assert lab.wait_for_run(done.json()["run"])["conclusion"] == "success"


DATASETS = r"""
  make:
    runs-on: self-hosted
    keeps:
      - {path: /outputs/one, as: dataset, name: one}
      - {path: two, as: dataset, name: "two:best"}
      - {path: store, as: cache, name: pip, always: true}
    brings: [{cache: pip, path: store}]
    steps:
      - run: |
          mkdir -p two store; cat store/n 2>/dev/null || echo fresh
          echo 1 > $FLOW_OUTPUTS/one/f; echo 2 > two/f; ln -s f two/g; echo "$GITHUB_RUN_NUMBER" > store/n
          test "${{ inputs.fail }}" != yes
  use:
    needs: make
    runs-on: self-hosted
    brings: [{dataset: one, path: /inputs/one, read-only: true}, {dataset: "two:best", path: two}]
    steps: [{run: "cat $FLOW_INPUTS/one/f two/f two/g"}]
"""


@pytest.mark.store("sqlite", "postgresql")
def test_datasets_of_a_job_become_versions_together_when_it_succeeds_and_caches_come_back(lab: Lab) -> None:
    lab.add_agent("box")
    flow = lab.folder / "sets.yml"
    flow.write_text(f"on: {{workflow_dispatch: {{inputs: {{fail: {{type: string}}}}}}}}\njobs:\n{DATASETS}")
    failed = lab.submit(flow, "--source", "none", "--input", "fail=yes")
    assert lab.wait_for_run(failed)["conclusion"] == "failure"
    assert "fresh" in lab.lines(failed, "make")
    assert lab.get("dataset", "list") == []
    run = lab.submit(flow, "--source", "none", "--input", "fail=no")
    assert lab.wait_for_run(run)["conclusion"] == "success", lab.lines(run, "make") + lab.lines(run, "use")
    assert "1" in lab.lines(run, "make")  # the number of the run whose cache came back
    assert lab.lines(run, "use")[-3:] == ["1", "2", "2"]
    uses = lab.get("dataset", "lineage", "--run", str(run))
    made = {use["ref"] for use in uses if use["direction"] == "made"}
    read = {use["ref"] for use in uses if use["direction"] == "read"}
    assert made == read == {"one:1", "two:1"}
    done = lab.agent(
        "flow",
        "submit",
        lab.write_flow("""
  a: {runs-on: self-hosted, brings: [{dataset: "one:7", path: x}], steps: [{run: ls}]}
"""),
        "--source",
        "none",
    )
    assert done.code != 0
    assert "there is no version '7' of dataset 'one'" in done.err


LARGE = """
  make:
    runs-on: self-hosted
    retry: {max: 2, on: lost, backoff: {seconds: 0}}
    keeps: [data]
    steps: [{run: "mkdir data; head -c 200000000 /dev/urandom > data/large; cp data/large data/again; sha256sum data/large > data/sum"}]
  use:
    needs: make
    runs-on: self-hosted
    retry: {max: 2, on: lost, backoff: {seconds: 0}}
    brings: [{job: make}]
    steps: [{run: "sha256sum -c data/sum && cmp data/large data/again && test $(ls -A | wc -l) = 1 && echo whole"}]
"""


@pytest.mark.parametrize(("job", "step"), [("make", "__keep"), ("use", "__bring")])
def test_a_job_that_is_killed_while_it_keeps_or_is_brought_is_tried_again_and_nobody_sees_a_half(
    lab: Lab, job: str, step: str
) -> None:
    lab.add_agent("box", environment={"AGENT_KEPT_LIMIT": "0"})
    run = lab.submit(lab.write_flow(LARGE))

    def working() -> list[int]:
        """The supervisor of the job whose step has begun and not ended."""
        for folder in (lab.state("box") / "jobs").glob("job_*"):
            found = JournalReader(folder / "journal") if (folder / "journal").exists() else []
            steps = {item.id: item.state for _, item in found if isinstance(item, StepChanged)}
            if steps.get(step) == "running":
                return supervisor_pids(folder)
        return []

    (supervisor,) = wait_for(working, f"{step} of {job}")
    os.kill(supervisor, signal.SIGKILL)
    if job == "make":
        assert lab.get("artifact", "list", str(run)) == []
    assert lab.wait_for_run(run)["conclusion"] == "success", lab.lines(run, "use")
    assert "whole" in lab.lines(run, "use")
    assert {item["key"]: item["attempt"] for item in lab.run(run)["jobs"]}[job] == 2
    assert [item["name"] for item in lab.get("artifact", "list", str(run))] == ["make.data"]


def test_a_cancelled_job_keeps_what_it_always_keeps_and_what_is_live_is_seen_before(lab: Lab) -> None:
    lab.add_agent("box")
    flow = """
  train:
    runs-on: self-hosted
    keeps: [model, {path: log, always: true}, {path: live, live: true}]
    steps: [{run: "mkdir model log live; echo m > model/m; echo l > log/l; echo v > live/v; sleep 600"}]
"""
    run = lab.submit(lab.write_flow(flow))

    def names() -> set[str]:
        return {item["name"] for item in lab.get("artifact", "list", str(run))}

    wait_for(lambda: names() == {"train.live"}, "the live artifact")
    assert lab.agent("run", "cancel", str(run)).code == 0
    assert lab.wait_for_run(run)["conclusion"] == "cancelled"
    assert names() == {"train.live", "train.log"}
