"""The job's own token is for its server alone: whoever is told another host is shown none, or one that is for it."""

from pathlib import Path

import pytest
from support.jobs import JobReport, run_job, script, uses, write_action

from agent.spec.job import Source, SourceKind

OURS, HOST = "http://127.0.0.1:9", "https://git.example.org"
GITHUB = {"server_url": HOST, "api_url": f"{HOST}/api/v3", "repository": "acme/lab"}
SHOW = """
inputs: {token: {default: "${{ github.token }}"}, repository: {default: "${{ github.repository }}"}}
runs: {using: python, main: main.py}
"""
PRINT = "import os; print(*(os.environ[n] for n in ('GITHUB_SERVER_URL', 'GITHUB_API_URL', 'INPUT_TOKEN')))"
GIT = Source(SourceKind.GIT, f"{HOST}/acme/lab", "refs/heads/main", "1" * 40)
SNAPSHOT = Source(SourceKind.SNAPSHOT, f"{HOST}/acme/lab", bundles=("sha256:1",))


def run(tmp_path: Path, source: Source, **secrets: str) -> JobReport:
    write_action(tmp_path / "ws", "show", SHOW, main_py=PRINT)
    return run_job(
        tmp_path,
        script("script", "echo $GITHUB_SERVER_URL $GITHUB_API_URL"),
        uses("usual", "./show"),
        uses("other", "./show", with_={"token": "mine-of-the-host", "repository": "acme/tools"}),
        uses("own", "./show", with_={"token": "mine-of-the-host"}),
        uses("none", "./show", with_={"token": ""}),
        secrets={"ACTIONS_RUNTIME_TOKEN": "aaa.bbb.ccc", **secrets},
        settings={"server_url": OURS, "workspace": tmp_path / "ws"},
        github=GITHUB,
        source=source,
    )


@pytest.mark.parametrize("source", [GIT, SNAPSHOT, Source()])
def test_the_jobs_own_token_is_told_to_our_server_alone(tmp_path: Path, source: Source) -> None:
    report = run(tmp_path, source)
    assert report.output_of("script") == [f"{OURS} {OURS}/api/v3"]
    assert report.output_of("usual") == [f"{OURS} {OURS}/api/v3 ***"]
    assert report.output_of("none") == [f"{OURS} {OURS}/api/v3 "]


def test_a_token_of_the_hosts_is_told_to_that_host(tmp_path: Path) -> None:
    report = run(tmp_path, GIT, GITHUB_TOKEN="of-the-repository")
    assert report.output_of("script") == [f"{HOST} {HOST}/api/v3"]
    assert report.output_of("usual") == [f"{HOST} {HOST}/api/v3 ***"]


def test_an_action_that_is_given_a_token_is_told_the_host_that_it_is_for(tmp_path: Path) -> None:
    report = run(tmp_path, GIT)
    assert report.output_of("other") == report.output_of("own") == [f"{HOST} {HOST}/api/v3 mine-of-the-host"]


def test_code_that_the_server_alone_has_is_read_there_whatever_token_is_given(tmp_path: Path) -> None:
    report = run(tmp_path, SNAPSHOT)
    assert report.output_of("own") == [f"{OURS} {OURS}/api/v3 ***"]
    assert report.output_of("other") == [f"{HOST} {HOST}/api/v3 mine-of-the-host"]
