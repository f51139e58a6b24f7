"""`agent flow run`: what one run keeps, the next is brought, on one machine and without a server."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.lab import Done, command_line, run_agent, wait_for


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def environment(project: Path) -> dict[str, str]:
    return {"AGENT_STATE": str(project.parent / "state"), "TMPDIR": str(project.parent)}


def run(project: Path, jobs: str, *options: str, file: str = "flow.yml") -> Done:
    flow = project / file
    flow.write_text(f"on: workflow_dispatch\njobs:\n{jobs}")
    return run_agent(
        "flow", "run", file, "--format", "json", *options, cwd=project, environment=environment(project)
    )


def texts(done: Done) -> list[str]:
    return [record["text"] for record in done.records() if record["kind"] == "log"]


def kept(done: Done) -> list[Path]:
    return [Path(record["path"]) for record in done.records() if record["kind"] == "kept"]


def last(done: Done) -> dict[str, Any]:
    return done.records()[-1]


TRAIN = """
  train:
    runs-on: self-hosted
    keeps: [model, {path: log.txt, always: true}]
    steps: [{run: "mkdir -p model/empty; echo $WEIGHTS > model/w; ln -s w model/link; echo log > log.txt"}]
"""
USE = """
  use:
    runs-on: self-hosted
    brings: [{last: train, flow: flow.yml, name: model, path: w}]
    steps: [{run: "cat w/w; test -d w/empty; readlink w/link"}]
"""


def test_a_run_names_what_it_kept_and_a_later_run_of_another_flow_is_brought_it(project: Path) -> None:
    made = run(project, TRAIN, "--env", "WEIGHTS=first")
    assert made.code == 0, made.out
    assert {path.name for path in kept(made)} == {"train.model", "train.log.txt"}
    assert (kept(made)[1] / "w").read_text() == "first\n"
    used = run(project, USE, file="use.yml")
    assert used.code == 0, used.out
    assert texts(used)[-2:] == ["first", "w"]
    assert run(project, TRAIN, "--env", "WEIGHTS=second").code == 0
    assert "second" in texts(run(project, USE, file="use.yml"))


def test_what_has_no_run_yet_is_refused_at_its_place_before_anything_starts(project: Path) -> None:
    done = run(project, USE, file="use.yml")
    assert done.code == 2
    assert done.out == ""
    assert (
        "job 'train' of 'flow.yml' has not run here, or kept nothing (use.yml:6:14); run it first" in done.err
    )
    failing = TRAIN.replace("mkdir", "exit 1; mkdir")
    assert run(project, failing).code == 1
    done = run(project, USE, file="use.yml")
    assert (done.code, done.out) == (2, "")


def test_a_tag_is_kept_on_the_run_that_has_it_and_an_unknown_one_is_refused(project: Path) -> None:
    by_tag = USE.replace("last: train, flow: flow.yml", "tag: best")
    done = run(project, by_tag, file="use.yml")
    assert (done.code, done.out) == (2, "")
    assert "there is no tag 'best' here (use.yml:6:14)" in done.err
    assert run(project, TRAIN, "--env", "WEIGHTS=first", "--tag", "best").code == 0
    for number in range(8):
        assert run(project, TRAIN, "--env", f"WEIGHTS={number}").code == 0
    assert "first" in texts(run(project, by_tag, file="use.yml"))
    (flow,) = (project.parent / "state" / "kept" / "flows").iterdir()
    assert sorted(int(folder.name) for folder in flow.iterdir() if folder.is_dir()) == [1, 5, 6, 7, 8, 9]
    done = run(project, TRAIN, "--tag", "no/name")
    assert (done.code, done.out) == (2, "")


def test_of_the_last_runs_that_failed_the_one_that_succeeded_stays(project: Path) -> None:
    assert run(project, TRAIN, "--env", "WEIGHTS=good").code == 0
    for _ in range(7):
        assert (
            run(
                project, TRAIN.replace("mkdir", "exit 1; mkdir").replace("exit 1", "echo > log.txt; exit 1")
            ).code
            == 1
        )
    assert "good" in texts(run(project, USE, file="use.yml"))


def test_a_failed_job_keeps_only_what_it_always_keeps(project: Path) -> None:
    done = run(project, TRAIN.replace('log.txt"', 'log.txt; exit 3"'))
    assert done.code == 1
    assert [path.name for path in kept(done)] == ["train.log.txt"]


def test_texts_are_outputs_and_volumes_go_with_the_run(project: Path) -> None:
    jobs = """
  a:
    runs-on: self-hosted
    keeps: [{path: acc.txt, as: text, name: acc}, {path: /outputs/vol, as: volume, name: vol}, {path: /outputs/b, as: text}]
    steps: [{run: "echo 0.9 > acc.txt; echo v > $FLOW_OUTPUTS/vol/f; printf ü > $FLOW_OUTPUTS/b"}]
  b:
    needs: a
    runs-on: self-hosted
    brings: [{job: a, name: vol, path: /inputs/vol}]
    steps: [{run: "cat $FLOW_INPUTS/vol/f; echo ${{ needs.a.outputs.acc }}${{ needs.a.outputs.b }}"}]
"""
    done = run(project, jobs)
    assert done.code == 0, done.out
    assert texts(done)[-2:] == ["v", "0.9ü"]
    assert kept(done) == []
    assert last(done)["jobs"]["a"]["outputs"] == {"acc": "0.9", "b": "ü"}


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        ("head -c 70000 /dev/zero > t", "it is over 64.0 KiB, which is the most for an output"),
        ("printf '\\\\377' > t", "it is not UTF-8 text"),
        ("true", "nothing is there"),
    ],
)
def test_what_can_be_no_output_fails_the_job_with_a_sentence(
    project: Path, write: str, sentence: str
) -> None:
    jobs = f"""
  a: {{runs-on: self-hosted, keeps: [{{path: t, as: text}}], steps: [{{run: "{write}"}}]}}
"""
    done = run(project, jobs)
    assert done.code == 1
    errors = [record["message"] for record in done.records() if record["kind"] == "annotation"]
    assert any(f"'t' (flow.yml:4:37) can't be kept: {sentence}" in error for error in errors), errors


@pytest.mark.parametrize("path", ["../elsewhere", "link/etc", "a/../../x"])
def test_a_path_that_leads_out_of_the_workspace_is_neither_kept_nor_brought(project: Path, path: str) -> None:
    jobs = f"""
  a: {{runs-on: self-hosted, keeps: [{path}], steps: [{{run: "ln -s / link"}}]}}
"""
    done = run(project, jobs)
    assert done.code == 1
    assert "leads out of the folder of the job" in done.out
    assert kept(done) == []
    jobs = f"""
  a: {{runs-on: self-hosted, brings: [{{text: x, path: {path}/f}}], steps: [{{run: "true"}}]}}
"""
    (project / "link").symlink_to("/tmp")
    done = run(project, jobs)
    assert done.code == 1
    assert "leads out of the folder of the job" in done.out


def test_what_comes_after_the_checkout_is_not_taken_away_by_it(project: Path) -> None:
    subprocess.run(
        "git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m 1",
        shell=True,
        cwd=project,
        check=True,
    )
    assert run(project, TRAIN, "--env", "WEIGHTS=x").code == 0
    jobs = USE.replace("steps: [", "steps: [{uses: flow-agent/checkout@v1}, ")
    done = run(project, jobs, file="use.yml")
    assert done.code == 0, done.out
    assert "x" in texts(done)


def test_what_is_live_is_there_before_the_end_and_a_cancel_keeps_it_and_what_is_always_kept(
    project: Path,
) -> None:
    jobs = """
  a:
    runs-on: self-hosted
    keeps: [{path: log, live: true}, {path: always, always: true}, usually]
    steps: [{run: "mkdir log usually always; echo u > usually/u; echo a > always/a; echo 1 > log/1; sleep 600"}]
"""
    (project / "flow.yml").write_text(f"on: workflow_dispatch\njobs:\n{jobs}")
    store = project.parent / "state" / "kept" / "flows"
    with subprocess.Popen(
        command_line("flow", "run", "flow.yml", "--format", "json"),
        cwd=project,
        env={**os.environ, **environment(project)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for(lambda: list(store.glob("*/1/a.log/1")), "the live log")
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    paths = [json.loads(line)["path"] for line in out.splitlines() if '"kept"' in line]
    assert {Path(path).name.removesuffix("~2") for path in paths} == {"a.log", "a.always"}


def test_a_run_that_is_killed_while_it_keeps_leaves_nothing_that_another_one_finds(project: Path) -> None:
    jobs = TRAIN.replace("mkdir", "mkdir model; for n in $(seq 3000); do echo $n > model/$n; done; mkdir")
    (project / "flow.yml").write_text(f"on: workflow_dispatch\njobs:\n{jobs}")
    store = project.parent / "state" / "kept" / "flows"
    with subprocess.Popen(
        command_line("flow", "run", "flow.yml", "--format", "json"),
        cwd=project,
        env={**os.environ, **environment(project)},
        stdout=subprocess.PIPE,
    ) as process:
        wait_for(
            lambda: list(store.glob("*/1/.making-*/tree/w*")) or list(store.glob("*/1/.making-*/tree/1*")),
            "a half",
        )
        process.kill()
        process.communicate(timeout=60)
    done = run(project, USE, file="use.yml")
    assert (done.code, done.out) == (2, "")
    wait_for(
        lambda: run(project, TRAIN, "--env", "WEIGHTS=x").code == 0 and not list(store.glob("*/1")),
        "its folder gone",
    )


def test_datasets_and_caches_of_local_runs_are_found_by_later_ones(project: Path) -> None:
    jobs = """
  make:
    runs-on: self-hosted
    brings: [{cache: pip, path: store}]
    keeps: [{path: d, as: dataset, name: "images:best"}, {path: store, as: cache, name: pip}]
    steps: [{run: "cat store/n || echo fresh; mkdir -p d store; echo $N > d/f; echo $N > store/n; test $N != bad"}]
"""
    use = """
  use: {runs-on: self-hosted, brings: [{dataset: "%s", path: d}], steps: [{run: "cat d/f"}]}
"""
    refused = run(project, use % "images", file="use.yml")
    assert (refused.code, refused.out) == (2, "")
    assert "there is no dataset version 'images' here (use.yml:4:40)" in refused.err
    assert run(project, jobs, "--env", "N=bad").code == 1
    assert run(project, use % "images", file="use.yml").code == 2
    assert "fresh" in texts(run(project, jobs, "--env", "N=one"))
    assert "one" in texts(run(project, jobs, "--env", "N=two"))
    for wanted, found in (
        ("images", "two"),
        ("images:1", "one"),
        ("images:best", "two"),
        ("images:latest", "two"),
    ):
        assert texts(run(project, use % wanted, file="use.yml"))[-1] == found


def test_prune_removes_what_is_old_and_has_no_tag(project: Path) -> None:
    for number in range(3):
        assert (
            run(
                project, TRAIN, "--env", f"WEIGHTS={number}", *(["--tag", "first"] if not number else [])
            ).code
            == 0
        )
    done = run_agent("flow", "prune", "--most", "1", "--format", "json", environment=environment(project))
    assert [Path(folder).name for folder in done.json()] == ["2"]
    assert "0" in texts(
        run(project, USE.replace("last: train, flow: flow.yml", "tag: first"), file="use.yml")
    )
    assert run_agent("flow", "prune", "--most", "x", environment=environment(project)).code == 2


def test_the_last_run_is_one_of_the_own_project_and_a_run_is_brought_by_its_number(project: Path) -> None:
    other = project.parent / "other"
    other.mkdir()
    assert run(project, TRAIN, "--env", "WEIGHTS=own").code == 0
    made = run(other, TRAIN, "--env", "WEIGHTS=theirs")
    assert made.code == 0
    assert "own" in texts(run(project, USE, file="use.yml"))
    number = kept(made)[0].parent.name
    by_run = USE.replace("last: train, flow: flow.yml", f"run: {number}")
    assert "theirs" in texts(run(project, by_run, file="use.yml"))
    unknown = run(project, USE.replace("last: train, flow: flow.yml", "run: wild-zebra-77"), file="use.yml")
    assert (unknown.code, unknown.out) == (2, "")
    assert "there is no run 'wild-zebra-77' here" in unknown.err
