"""What dstack's workflows leave to each other: artifacts, tags, last runs and caches, here and through a server."""

from pathlib import Path

import pytest
from support.git import make_repository, serve_git
from support.lab import Done, Lab, run_agent, wait_for

from agent.spec.run_names import name_run

WORKFLOWS = """\
workflows:
  - name: data
    provider: bash
    commands: ['ls -d raw/deep', 'echo "words $RUN_NAME" > raw/deep/words']
    artifacts: [raw/deep]
  - name: train
    provider: bash
    depends-on: [data]
    commands:
      - echo "> $(cat raw/deep/words)"
      - echo weights > model.bin
      - echo 1 >> ~/.seen-by-dstack/count && echo "> seen $(wc -l < ~/.seen-by-dstack/count)"
    artifacts: [model.bin]
    cache: [{path: ~/.seen-by-dstack}]
    setup: [mkdir -p ~/.seen-by-dstack]
  - {name: test, provider: bash, deps: [{workflow: train}], commands: ['echo "> $(cat model.bin)"']}
  - {name: tagged, provider: bash, deps: [':best'], commands: ['echo "> $(cat raw/deep/words)"']}
  - {name: failing, provider: bash, commands: ['echo half > part/x', 'false'], artifacts: [part]}
  - {name: after, provider: bash, deps: [{tag: failed}], commands: ['echo "> $(cat part/x)"']}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "project", {".dstack/workflows.yaml": WORKFLOWS}, tags=()).folder


def run(project: Path, *words: str) -> Done:
    environment = {
        "AGENT_STATE": str(project.parent / "state"),
        "TMPDIR": str(project.parent),
        "HOME": str(project.parent),
    }
    return run_agent("flow", "run", "--format", "json", *words, cwd=project, environment=environment)


def said(done: Done) -> list[str]:
    texts = [record["text"] for record in done.records() if record["kind"] == "log"]
    return [text.removeprefix("> ") for text in texts if text.startswith("> ")]


def test_workflows_here_find_what_others_left(project: Path) -> None:
    early = run(project, "test")
    assert (early.code != 0, ".dstack/workflows.yaml:16:" in early.err) == (True, True)
    assert "there is no tag 'best'" in run(project, "tagged").err
    assert said(run(project, "train")) == [f"words {name_run(3)}", "seen 1"]
    assert said(run(project, "train"))[1] == "seen 2"
    assert said(run(project, "test")) == ["weights"]
    assert run(project, "data", "--tag", "best").code == 0
    assert said(run(project, "tagged")) == [f"words {name_run(6)}"]


def test_a_workflow_that_fails_keeps_what_it_made(project: Path) -> None:
    assert run(project, "failing", "--tag", "failed").code == 1
    assert said(run(project, "after")) == ["half"]


def submit(lab: Lab, project: Path, *words: str) -> Done:
    return run_agent("flow", "submit", "--format", "json", *words, cwd=project, environment=lab.environment)


def lines(lab: Lab, run: int, job: str) -> list[str]:
    return [line.removeprefix("> ") for line in lab.lines(run, job) if line.startswith("> ")]


def test_workflows_at_a_server_find_what_others_left(lab: Lab, project: Path) -> None:
    lab.add_agent("box")
    refused = submit(lab, project, "test")
    assert refused.code != 0
    assert "job 'train' of the flow '.dstack' has" in refused.err, refused.err
    assert "there is no tag 'best'" in submit(lab, project, "tagged").err
    first = submit(lab, project, "train", "--tag", "best").json()["run"]
    assert lab.wait_for_run(first)["conclusion"] == "success"
    assert lines(lab, first, "train")[0] == "words wet-mangust-1"
    for name, found in (("test", "weights"), ("tagged", "words wet-mangust-1")):
        later = submit(lab, project, name).json()["run"]
        assert lab.wait_for_run(later)["conclusion"] == "success"
        assert lines(lab, later, name) == [found]


def test_a_workflow_that_is_stopped_keeps_what_it_made_and_one_that_is_aborted_does_not(
    lab: Lab, project: Path
) -> None:
    begun = project.parent / "begun"
    (project / ".dstack" / "workflows.yaml").write_text(
        "workflows: [{name: a, provider: bash, artifacts: [part],"
        f" commands: ['echo half > part/x', 'touch {begun}', 'exec sleep 1000']}}]"
    )
    lab.add_agent("box")
    for options, kept in (([], 1), (["--force"], 0)):
        run = submit(lab, project, "a").json()["run"]
        wait_for(begun.exists, "the last command")
        begun.unlink()
        assert lab.agent("run", "cancel", str(run), *options).code == 0
        assert lab.wait_for_run(run)["conclusion"] == "cancelled"
        assert len(lab.get("artifact", "list", str(run))) == kept


def test_what_is_mounted_is_seen_while_the_workflow_runs(lab: Lab, project: Path) -> None:
    gate = project.parent / "gate"
    (project / ".dstack" / "workflows.yaml").write_text(
        "workflows: [{name: a, provider: bash, artifacts: [{path: log, mount: true}],"
        f" commands: ['echo one > log/x', 'until [ -e {gate} ]; do sleep 0.05; done', 'echo two >> log/x']}}]"
    )
    lab.add_agent("box")
    run = submit(lab, project, "a").json()["run"]
    wait_for(lambda: lab.get("artifact", "list", str(run)), "the log while the workflow runs")
    assert lab.run(run)["status"] == "running"
    gate.touch()
    assert lab.wait_for_run(run)["conclusion"] == "success"
    target = project.parent / "fetched"
    assert lab.agent("run", "download", str(run), "--dir", target).code == 0
    (file,) = target.rglob("x")
    assert file.read_text() == "one\ntwo\n"


def test_what_another_project_kept_is_brought_to_whoever_may_read_it(inside: Lab, project: Path) -> None:
    lab = inside
    lab.add_agent("box")
    assert lab.agent("server", "project", "create", "lab", "--data", lab.data).code == 0
    there = {**lab.environment, "AGENT_PROJECT": "lab"}
    words = ("flow", "submit", "--format", "json", "train", "--tag", "best")
    made = run_agent(*words, cwd=project, environment=there).json()["run"]
    assert lab.wait_for_run(made)["conclusion"] == "success"
    (project / ".dstack" / "workflows.yaml").write_text("""\
workflows:
  - {name: a, provider: bash, deps: [{workflow: acme/lab/train}, {tag: acme/lab/best}], commands: ['echo ">" $(cat model.bin raw/deep/words)']}
  - {name: b, provider: bash, depends-on: ['acme/lab/train:best'], commands: ['echo "> $(cat model.bin)"']}
  - {name: c, provider: bash, deps: [acme/other/train], commands: ['cat model.bin']}
""")
    for name, found in (("a", ["weights words wet-mangust-1"]), ("b", ["weights"])):  # of the project `lab`
        run = submit(lab, project, name).json()["run"]
        assert lab.wait_for_run(run)["conclusion"] == "success"
        assert lines(lab, run, name) == found
    assert "there is no project 'acme/other' that this run may read" in submit(lab, project, "c").err
    host = make_repository(project.parent / "hosted" / "acme" / "other", {"a": "1"}, tags=())
    connect = ("server", "repository", "add", "--provider", "git")
    with serve_git(host.folder.parents[1]) as served:
        assert run_agent(*connect, f"{served.url}/acme/other", environment=there).code == 0
    run = submit(lab, project, "c").json()["run"]
    assert lab.wait_for_run(run)["conclusion"] == "success"
