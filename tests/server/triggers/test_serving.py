"""Connected repositories, read by jobs at the server: their credentials stay with it."""

import base64
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from server.toolkit_job import Job
from server.triggers.lab import Lab
from server.vocabulary import ServerProcess, TestAgent, journal
from support.git import make_repository, serve_git

from agent.spec.conventions import JOB_TOKEN

CREDENTIALS = "robot:the-credential-of-the-project"


def ask(lab: Lab, token: str, *words: str, folder: Path | None = None) -> tuple[int, str]:
    pair = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    own = f"http.{lab.server.http.base_url}/.extraheader=AUTHORIZATION: basic {pair}"
    done = subprocess.run(
        ["git", "-c", own, *words],
        cwd=folder or lab.repository.folder,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def begin(lab: Lab, make_agent: Callable[..., TestAgent]) -> tuple[TestAgent, object, str]:
    agent = make_agent(lab.server).connect()
    assert lab.push({"README": "b"})["outcome"]
    assign = agent.take()
    return agent, assign, agent.open(assign, "ACTIONS_RUNTIME_TOKEN")


def make_private(lab: Lab) -> None:
    lab.host.credentials = CREDENTIALS
    answer = lab.server.api.patch(f"/repositories/{lab.id}", json={"token": CREDENTIALS})
    assert answer.status_code == 200, answer.text


def test_jobs_read_connected_repositories_here_and_never_have_their_credentials(
    make_lab: Callable[..., Lab], make_agent: Callable[..., TestAgent], tmp_path: Path
) -> None:
    lab = make_lab()
    make_private(lab)
    make_repository(lab.host.root / "acme" / "models", {"model.txt": "m\n"})
    body = {"url": f"{lab.host.url}/acme/models", "provider": "github", "token": CREDENTIALS}
    assert lab.server.api.post("/repositories", json=body).status_code == 201
    settings = {"settings": {"serve_repositories": True}}
    assert lab.server.api.patch("/projects/default", json=settings).status_code == 200
    agent, assign, token = begin(lab, make_agent)
    assert JOB_TOKEN not in assign.sealed  # type: ignore[attr-defined]
    assert assign.spec.source.is_served  # type: ignore[attr-defined]
    base = f"{lab.server.http.base_url}".rstrip("/")
    for name, file, content in (("lab", "README", "b"), ("models", "model.txt", "m\n")):
        code, said = ask(lab, token, "clone", "--quiet", f"{base}/acme/{name}", str(tmp_path / name))
        assert code == 0, said
        assert (tmp_path / name / file).read_text() == content
    code, said = ask(lab, token, "ls-remote", f"{base}/acme/unknown")
    assert (code, "not found" in said) == (128, True)
    assert CREDENTIALS.partition(":")[2] not in str(assign)
    agent.finish(assign, journal(assign))  # type: ignore[arg-type]
    assert ask(lab, token, "ls-remote", f"{base}/acme/lab")[0] == 128


def test_where_the_project_does_not_serve_its_repositories_what_is_public_of_them_is_handed_on(
    lab: Lab, make_agent: Callable[..., TestAgent]
) -> None:
    _, assign, token = begin(lab, make_agent)
    assert JOB_TOKEN not in assign.sealed  # type: ignore[attr-defined]
    assert assign.spec.source.is_served  # type: ignore[attr-defined]
    base = f"{lab.server.http.base_url}".rstrip("/")
    code, said = ask(lab, token, "ls-remote", f"{base}/acme/lab")
    assert (code, "refs/heads/main" in said) == (0, True)
    make_repository(lab.host.root / "acme" / ".github", {"one": "1"})
    assert ask(lab, token, "ls-remote", f"{base}/acme/.github.git")[0] == 0
    assert not lab.host.authorizations


def test_a_repository_with_a_token_is_at_its_host_and_only_its_own_token_is_shown_there(
    lab: Lab, make_agent: Callable[..., TestAgent]
) -> None:
    make_private(lab)
    agent, assign, token = begin(lab, make_agent)
    assert agent.open(assign, JOB_TOKEN) == CREDENTIALS.partition(":")[2]  # type: ignore[arg-type]
    assert not assign.spec.source.is_served  # type: ignore[attr-defined]
    base = f"{lab.server.http.base_url}".rstrip("/")
    lab.host.authorizations.clear()
    code, said = ask(lab, token, "ls-remote", f"{base}/acme/lab")
    assert (code, "not found" in said) == (128, True)
    assert not lab.host.authorizations


def test_strangers_code_has_no_token_for_the_host_and_the_host_is_shown_none(
    make_lab: Callable[..., Lab], make_agent: Callable[..., TestAgent]
) -> None:
    lab = make_lab(forks="run")
    make_private(lab)
    agent = make_agent(lab.server).connect()
    lab.request(fork="stranger/lab", README="c")
    assign = agent.take()
    assert JOB_TOKEN not in assign.sealed
    assert assign.spec.source.is_served
    token, base = agent.open(assign, "ACTIONS_RUNTIME_TOKEN"), f"{lab.server.http.base_url}".rstrip("/")
    lab.host.authorizations.clear()
    assert ask(lab, token, "fetch", f"{base}/acme/lab", lab.merge)[0] == 128  # private
    lab.host.credentials = ""
    code, said = ask(lab, token, "fetch", f"{base}/acme/lab", lab.merge)
    assert code == 0, said
    assert not lab.host.authorizations


def test_what_is_handed_on_is_public_git_of_a_host_that_the_operator_allows(
    make_lab: Callable[..., Lab], make_agent: Callable[..., TestAgent], tmp_path: Path
) -> None:
    lab = make_lab()
    _, _, token = begin(lab, make_agent)
    base = f"{lab.server.http.base_url}".rstrip("/")

    def ends(name: str) -> tuple[int, str]:
        return ask(lab, token, "ls-remote", f"{base}/{name}")

    lab.host.moves["/acme/old"] = "/acme/lab"
    code, said = ends("acme/old")
    assert (code, "refs/heads/main" in said) == (0, True)
    lab.host.moves["/acme/gone"] = "http://127.0.0.1:9/acme/lab"
    assert "not found" in ends("acme/gone")[1]
    lab.host.status = 401
    assert "not found" in ends("acme/secret")[1]
    lab.host.status, lab.host.headers = 200, {"Content-Type": "text/html"}
    assert "not found" in ends("acme/page")[1]
    lab.host.status = 500
    assert "502" in ends("acme/lab")[1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"outside_hosts": ["127.0.0.0/8"], "public_code": ["git.example.org"]}, "does not hand on"),
     ({"outside_hosts": ["127.0.0.0/8"], "public_code": []}, "does not hand on"),
     ({}, "not a public address")],
)  # fmt: skip
def test_the_operator_says_whose_public_code_is_handed_on(
    make_server: Callable[..., ServerProcess], tmp_path: Path, settings: dict[str, object], said: str
) -> None:
    make_repository(tmp_path / "hosted" / "acme" / "lab")
    with serve_git(tmp_path / "hosted") as host:
        server = make_server(triggers=settings)
        source = {"kind": "git", "url": f"{host.url}/acme/lab", "commit": "1" * 40}
        job = Job(server, name="job", source=source)
        answer = server.http.get("/acme/lab/info/refs?service=git-upload-pack", headers=job.headers)
        assert (answer.status_code, said in answer.text) == (403 if "address" in said else 404, True)
        assert not host.requests
        job.end()


def test_the_default_branch_of_a_repository_that_is_handed_on_is_known(
    lab: Lab, make_agent: Callable[..., TestAgent]
) -> None:
    make_repository(lab.host.root / "acme" / "tools", {"one": "1"}, branch="trunk")
    _, _, token = begin(lab, make_agent)

    def get(path: str) -> httpx.Response:
        return lab.server.http.get(f"/api/v3/repos/{path}", headers={"Authorization": f"token {token}"})

    assert get("acme/tools").json()["default_branch"] == "trunk"
    lab.host.moves["/acme/hammers"] = "/acme/tools"
    assert get("acme/hammers").json()["default_branch"] == "trunk"
    assert get("acme/absent").status_code == get("acme/tools/tags").status_code == 404


def test_strangers_code_reads_its_own_repository_and_no_other(
    make_lab: Callable[..., Lab], make_agent: Callable[..., TestAgent]
) -> None:
    lab = make_lab(forks="run")
    make_private(lab)
    make_repository(lab.host.root / "acme" / "models", {"model.txt": "m\n"})
    body = {"url": f"{lab.host.url}/acme/models", "provider": "github", "token": CREDENTIALS}
    assert lab.server.api.post("/repositories", json=body).status_code == 201
    lab.server.api.patch("/projects/default", json={"settings": {"serve_repositories": True}})
    agent = make_agent(lab.server).connect()
    lab.request(fork="stranger/lab", README="c")
    assign = agent.take()
    token, base = agent.open(assign, "ACTIONS_RUNTIME_TOKEN"), f"{lab.server.http.base_url}".rstrip("/")
    code, said = ask(lab, token, "fetch", f"{base}/acme/lab", lab.merge)
    assert code == 0, said
    assert ask(lab, token, "ls-remote", f"{base}/acme/models")[0] == 128
