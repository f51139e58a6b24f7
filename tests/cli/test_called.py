"""Flows that call flows, from this machine: files of the repository, of other repositories, and of neither."""

import io
import json
from pathlib import Path

import pytest
from support.git import make_repository

from agent.cli.flow.language import run_validate
from agent.cli.flow.show import show_flow
from agent.cli.local_files.called import link_called, read_called
from agent.cli.local_files.files import load_file
from agent.errors import AgentError, UsageError

INNER = "on: workflow_call\njobs: {work: {runs-on: x, steps: [{run: x}]}}\n"
REMOTE = "on: workflow_call\njobs: {next: {uses: ./flows/inner.yml}}\n"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / name.replace("__", "/").replace("_yml", ".yml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "main.yml"


def calls(uses: str) -> str:
    return f"on: push\njobs: {{call: {{uses: {uses}}}}}\n"


def test_files_beside_the_flow_are_found_and_a_flow_in_a_folder_of_flows_calls_from_the_top(
    tmp_path: Path,
) -> None:
    file = write(tmp_path, main_yml=calls("./inner.yml"), inner_yml=INNER)
    assert read_called(load_file(file, None), file) == {"./inner.yml": INNER}
    nested = tmp_path / "repo" / ".github" / "workflows"
    nested.mkdir(parents=True)
    (nested / "inner.yml").write_text(INNER)
    (nested / "main.yml").write_text(calls("./.github/workflows/inner.yml"))
    flow = link_called(load_file(nested / "main.yml", None), nested / "main.yml")
    assert list(flow.called) == ["./.github/workflows/inner.yml"]
    ours = tmp_path / "repo" / ".flows"
    ours.mkdir()
    (ours / "main.yml").write_text(calls("./.github/workflows/inner.yml"))
    flow = link_called(load_file(ours / "main.yml", None), ours / "main.yml")
    assert list(flow.called) == ["./.github/workflows/inner.yml"]


def test_flows_of_another_repository_come_through_git_with_those_that_they_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_STATE", str(tmp_path / "state"))
    files: dict[str, str | bytes] = {"flows/remote.yml": REMOTE, "flows/inner.yml": INNER}
    make_repository(tmp_path / "git" / "acme" / "shared", files, tags=("v1",))
    file = write(tmp_path, main_yml=calls("acme/shared/flows/remote.yml@v1"))
    template = f"{(tmp_path / 'git').as_uri()}/{{owner}}/{{repo}}"
    texts = read_called(load_file(file, None), file, actions_url=template)
    assert texts == {"acme/shared/flows/remote.yml@v1": REMOTE, "acme/shared/flows/inner.yml@v1": INNER}
    missing = write(tmp_path / "other", main_yml=calls("acme/shared/flows/none.yml@v1"))
    with pytest.raises(AgentError, match="no such file"):
        read_called(load_file(missing, None), missing, actions_url=template)


def test_a_called_file_outside_of_the_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.yml").write_text(INNER)
    file = write(tmp_path / "repo", main_yml=calls("./../secret.yml"))
    with pytest.raises(UsageError, match="outside of the repository"):
        read_called(load_file(file, None), file)


def test_validate_follows_calls_as_far_as_the_disk_goes(tmp_path: Path) -> None:
    good = write(tmp_path, main_yml=calls("acme/elsewhere/x.yml@v1"), inner_yml=INNER)
    assert run_validate([good], None, "text", io.StringIO()) == 0, "other repositories are not asked"
    bad = write(tmp_path, main_yml="on: push\njobs: {call: {uses: ./inner.yml, with: {nope: 1}}}\n")
    out = io.StringIO()
    assert run_validate([bad], None, "json", out) == 1
    (problem,) = json.loads(out.getvalue())
    assert problem["message"] == "Invalid input, nope is not defined in the referenced workflow."
    missing = write(tmp_path, main_yml=calls("./none.yml"))
    assert run_validate([missing], None, "text", io.StringIO()) == 1


def test_show_lists_the_jobs_of_called_flows_behind_their_caller(tmp_path: Path) -> None:
    file = write(tmp_path, main_yml=calls("./inner.yml"), inner_yml=INNER)
    out = io.StringIO()
    show_flow(link_called(load_file(file, None), file), "json", out)
    assert [job["key"] for job in json.loads(out.getvalue())["jobs"]] == ["call", "call / work"]
