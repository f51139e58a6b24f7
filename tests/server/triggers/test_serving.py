"""Connected repositories, read by jobs at the server: their credentials stay with it."""

import base64
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from server.triggers.lab import Lab
from server.vocabulary import TestAgent, journal
from support.git import make_repository

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


def test_where_the_project_does_not_serve_its_repositories_they_are_not_there(
    lab: Lab, make_agent: Callable[..., TestAgent]
) -> None:
    _, assign, token = begin(lab, make_agent)
    assert not assign.spec.source.is_served  # type: ignore[attr-defined]
    base = f"{lab.server.http.base_url}".rstrip("/")
    code, said = ask(lab, token, "ls-remote", f"{base}/acme/lab")
    assert (code, "not found" in said) == (128, True)


def test_strangers_code_reads_its_own_repository_and_no_other(
    make_lab: Callable[..., Lab], make_agent: Callable[..., TestAgent]
) -> None:
    lab = make_lab(forks="run")
    make_repository(lab.host.root / "acme" / "models", {"model.txt": "m\n"})
    body = {"url": f"{lab.host.url}/acme/models", "provider": "github"}
    assert lab.server.api.post("/repositories", json=body).status_code == 201
    lab.server.api.patch("/projects/default", json={"settings": {"serve_repositories": True}})
    agent = make_agent(lab.server).connect()
    lab.request(fork="stranger/lab", README="c")
    assign = agent.take()
    token, base = agent.open(assign, "ACTIONS_RUNTIME_TOKEN"), f"{lab.server.http.base_url}".rstrip("/")
    code, said = ask(lab, token, "fetch", f"{base}/acme/lab", lab.merge)
    assert code == 0, said
    assert ask(lab, token, "ls-remote", f"{base}/acme/models")[0] == 128
