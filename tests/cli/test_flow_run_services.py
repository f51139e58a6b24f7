"""Artifacts and caches of GitHub's own clients in `agent flow run`: on this machine, for the run alone, started when somebody asks."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.git import make_repository
from support.lab import Done, command_line, run_agent, wait_for
from support.toolkit import read_answers, write_action

import agent.cli.local_run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder, beside a git host whose `actions/upload-artifact` drives GitHub's clients: it is told of the run as the real one is."""
    action = write_action(tmp_path / "drive")
    files = {file.name: file.read_text() for file in action.iterdir()}
    make_repository(tmp_path / "hosted" / "actions" / "upload-artifact", files, tags=("v7",))
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def environment_of(project: Path) -> dict[str, str]:
    return {
        "AGENT_STATE": str(project.parent / "state"),
        "TMPDIR": str(project.parent),
        "AGENT_ACTIONS_URL": f"file://{project.parent}/hosted/{{owner}}/{{repo}}",
    }


def step(*asked: list[Any], **more: str) -> str:
    lines = "".join(f"        {name}: {value}\n" for name, value in more.items())
    return (
        f"      - uses: actions/upload-artifact@v7\n{lines}        with: {{drive: '{json.dumps(asked)}'}}\n"
    )


def write(project: Path, **jobs: str) -> Path:
    flow = project / "flow.yml"
    texts = (f"  {name}:\n    runs-on: self-hosted\n{steps}" for name, steps in jobs.items())
    flow.write_text(f"on: workflow_dispatch\njobs:\n{''.join(texts)}")
    return flow


def run(project: Path, *options: str, environment: dict[str, str] | None = None, **jobs: str) -> Done:
    flow = write(project, **jobs)
    said = {**environment_of(project), **(environment or {})}
    return run_agent("flow", "run", flow, "--format", "json", *options, cwd=project, environment=said)


def texts(done: Done, job: str) -> list[str]:
    return [record["text"] for record in done.records() if record["kind"] == "log" and record["job"] == job]


def answers(done: Done, job: str) -> list[Any]:
    said = read_answers("\n".join(texts(done, job)))
    return [answer.get("value", answer.get("error")) for answer in said]


MAKE = "    steps:\n      - run: mkdir out deps && echo hi > out/a.txt && echo dep > deps/d.txt\n"
AFTER = "    needs: one\n    steps:\n"


def test_jobs_hand_artifacts_on_and_the_next_run_finds_the_cache_and_no_artifact(project: Path) -> None:
    jobs = {
        "one": MAKE
        + step(["list"], ["upload", "model", "out"], ["restore", ["deps"], "k-1"], ["save", ["deps"], "k-1"]),
        "two": AFTER
        + step(["get", "model"])
        + "      - uses: flow-agent/download-artifact@v1\n        with: {name: model, path: in}\n"
        + "      - run: cat in/a.txt\n",
    }
    first = run(project, **jobs)
    assert first.code == 0, first.err
    listed, uploaded, restored, saved = answers(first, "one")
    assert (listed, restored, saved > 0) == ({"artifacts": []}, None, True)
    assert answers(first, "two")[0]["artifact"]["id"] == uploaded["id"]
    assert "hi" in texts(first, "two")
    second = run(project, **jobs)
    listed, _, restored, _ = answers(second, "one")
    assert (listed, restored) == ({"artifacts": []}, "k-1")


def test_githubs_client_finds_in_a_later_job_what_our_own_action_has_uploaded_and_may_delete_it(
    project: Path,
) -> None:
    upload = "      - uses: flow-agent/upload-artifact@v1\n        with: {name: model, path: out%s}\n"
    into = project.parent / "came"
    jobs = {
        "one": MAKE + upload % "",
        "two": AFTER
        + step(["list"], ["download", 1, str(into)])
        + "      - run: mkdir out && echo new > out/c.txt\n"
        + upload % ", overwrite: true"
        + step(["get", "model"], ["download", 2, f"{into}2"], ["delete", "model"], ["list"])
        + "      - uses: flow-agent/download-artifact@v1\n        with: {name: model, path: in}\n",
    }
    done = run(project, **jobs)
    listed, _, got, _, deleted, left = answers(done, "two")
    assert [artifact["name"] for artifact in listed["artifacts"]] == ["model"]
    assert (into / "a.txt").read_text() == "hi\n"
    assert got["artifact"]["id"] == deleted["id"] == 2
    assert (into.with_name("came2") / "c.txt").read_text() == "new\n"
    assert left == {"artifacts": []}
    assert done.code == 1  # what was deleted our own action does not find
    assert "this run has: none" in "\n".join(texts(done, "two"))


def test_another_project_of_the_same_user_finds_no_cache_of_this_one(project: Path, tmp_path: Path) -> None:
    assert run(project, one=MAKE + step(["save", ["deps"], "k-1"])).code == 0
    other = tmp_path / "other"
    other.mkdir()
    assert answers(run(other, one=MAKE + step(["restore", ["deps"], "k-"])), "one") == [None]


def test_artifacts_lie_in_the_folder_of_a_run_that_is_kept(project: Path) -> None:
    done = run(project, "--keep", one=MAKE + step(["upload", "model", "out"]))
    (kept,) = [record["message"] for record in done.records() if record["kind"] == "warning"]
    assert (Path(kept.split()[-1]) / "artifacts" / "model.zip").read_bytes().startswith(b"PK")


def test_a_token_opens_its_own_run_and_ends_with_its_job(project: Path) -> None:
    shown = project.parent / "shown"
    steps = MAKE + step(["list"], ["show", str(shown)])
    waiting = "    needs: one\n    steps:\n      - run: touch $GO; while [ ! -e $END ]; do sleep 0.05; done\n"
    go, end = project.parent / "go", project.parent / "end"
    flow = write(project, one=steps, two=waiting)
    told = {**os.environ, **environment_of(project)}
    words = command_line("flow", "run", flow, "--env", f"GO={go}", "--env", f"END={end}")
    with subprocess.Popen(words, cwd=project, env=told, stdout=subprocess.PIPE, text=True) as process:
        wait_for(lambda: go.exists() or process.poll() is not None, "the second job")
        assert go.exists(), process.communicate()[0]
        said = json.loads(shown.read_text())
        url = said["ACTIONS_RESULTS_URL"]
        assert url.startswith("http://127.0.0.1:")
        service = f"{url}twirp/github.actions.results.api.v1.ArtifactService/ListArtifacts"
        answer = httpx.post(
            service, json={}, headers={"Authorization": f"Bearer {said['ACTIONS_RUNTIME_TOKEN']}"}
        )
        assert (answer.status_code, "has ended" in answer.text) == (401, True)
        assert httpx.post(service, json={}).status_code == 401
        assert httpx.get(f"{url}api/v1/runs").status_code == 404, "nothing else of a server is there"
        end.touch()
        process.communicate()
    assert process.returncode == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_a_killed_run_leaves_nothing_that_the_next_one_trips_over(project: Path) -> None:
    go = project.parent / "go"
    hang = "      - run: touch $GO; sleep 600\n"
    steps = MAKE + step(["upload", "model", "out"], ["save", ["deps"], "k-1"]) + hang
    flow = write(project, one=steps)
    words = command_line("flow", "run", flow, "--env", f"GO={go}")
    told = {**os.environ, **environment_of(project)}
    with subprocess.Popen(words, cwd=project, env=told, stdout=subprocess.DEVNULL) as process:
        wait_for(go.exists, "the step that hangs")
        process.send_signal(signal.SIGKILL)
    state = project.parent / "state" / "services"
    done = run(project, one=MAKE + step(["list"], ["upload", "model", "out"], ["restore", ["deps"], "k-1"]))
    assert done.code == 0, done.err
    listed, uploaded, restored = answers(done, "one")
    assert (listed, "id" in uploaded, restored) == ({"artifacts": []}, True, "k-1")
    left = [path for path in (state / "blobs" / "artifacts").rglob("*") if path.is_file()]
    assert left == []


def test_without_the_servers_packages_who_asks_is_told_how_to_get_them(project: Path) -> None:
    hidden = project.parent / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'uvicorn':\n"
        "            raise ModuleNotFoundError(name)\n"
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'uvicorn' else find(name, package)\n"
    )
    steps = MAKE + step(["upload", "model", "out"], ["restore", ["deps"], "k-1"])
    done = run(project, one=steps, environment={"PYTHONPATH": str(hidden)})
    assert done.code == 0, done.err
    uploaded, restored = answers(done, "one")
    command = "-m pip install --require-hashes -r "
    assert command in uploaded
    assert restored is None
    (warning,) = [record["message"] for record in done.records() if record["kind"] == "warning"]
    assert command in warning


def test_a_run_in_which_nobody_asks_starts_nothing(project: Path) -> None:
    done = run(
        project, one="    steps:\n      - run: env\n" + step(["nothing"]).replace('[["nothing"]]', "[]")
    )
    assert done.code == 0, done.err
    assert not (project.parent / "state" / "services").exists()
    assert not any(text.startswith("ACTIONS_") for text in texts(done, "one"))


def test_a_run_of_plain_steps_loads_nothing_of_it() -> None:
    folder = Path(agent.cli.local_run.__file__).parent
    said = "import sys, agent.cli.local_run.command; print(sorted(n for n in sys.modules if 'services' in n and n.startswith('agent')))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", said], capture_output=True, text=True, check=True, cwd=folder
    )
    assert done.stdout == "[]\n"
