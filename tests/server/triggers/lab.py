"""A server that is connected to a real repository on a real git host, which pushes to it with real signatures."""

import itertools
import json
from pathlib import Path
from typing import Any

import httpx
from server.triggers.payloads import ZEROS, github_pull, github_push
from server.vocabulary import ServerProcess, wait_for
from support.git import GitHost, Repository, make_repository

from agent.server.triggers.signatures import sign_body

ON_PUSH = """\
name: Train
on: [push, pull_request, workflow_dispatch]
jobs:
  train:
    runs-on: linux
    steps:
      - run: echo ${{ github.event_name }} ${{ secrets.DATA_KEY }}
"""
FLOW = ".github/workflows/train.yml"
LOOPBACK = {"outside_hosts": ["127.0.0.0/8"]}


class Lab:
    """The repository `acme/lab`, connected."""

    def __init__(
        self, server: ServerProcess, host: GitHost, folder: Path, provider: str = "github", **more: Any
    ) -> None:
        self.server = server
        self.repository: Repository = make_repository(
            host.root / "acme" / "lab", {FLOW: ON_PUSH, "README": "a"}, tags=()
        )
        self.repository.git("config", "uploadpack.allowFilter", "true")
        self.host = host
        body = {"url": f"{host.url}/acme/lab", "provider": provider, **more}
        answer = server.api.post("/repositories", json=body)
        assert answer.status_code == 201, answer.text
        self.facts = answer.json()
        self.secret, self.hook, self.id = self.facts["secret"], self.facts["webhook"], self.facts["id"]
        self._numbers = itertools.count(1)

    def deliver(self, event: str, payload: Any, identifier: str = "", **headers: str) -> httpx.Response:
        """Send what GitHub would send."""
        body = json.dumps(payload).encode()
        sent = {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": identifier or f"delivery-{next(self._numbers)}",
            "X-Hub-Signature-256": f"sha256={sign_body(self.secret, body)}",
            "Content-Type": "application/json",
            **headers,
        }
        return self.server.http.post(self.hook, content=body, headers=sent)

    def settled(self, number: int) -> dict[str, Any]:
        """The delivery, when there is nothing left to do about it."""

        def look() -> dict[str, Any] | None:
            shown = self.server.api.get(f"/deliveries/{number}").json()
            return shown if shown["status"] in ("done", "failed", "held") else None

        return wait_for(look, f"delivery {number}")

    def push(self, files: dict[str, str | bytes], message: str = "work", **more: Any) -> dict[str, Any]:
        """Commit to main, and tell the server; the delivery when it is settled."""
        before = self.repository.head
        after = self.repository.commit(files, message=message)
        payload = github_push(before=before, after=after, message=message, **more)
        answer = self.deliver("push", payload)
        assert answer.status_code == 202, answer.text
        return self.settled(answer.json()["delivery"])

    def request(
        self, *, number: int = 5, fork: str = "acme/lab", action: str = "opened", **files: str
    ) -> Any:
        """Open a request to merge a branch with `files`; the host makes its merge. Gives the delivery."""
        git = self.repository.git
        base = self.repository.head
        git("checkout", "--quiet", "-B", "topic", "main")
        head = self.repository.commit({name.replace("__", "/"): text for name, text in files.items()})
        git("checkout", "--quiet", "--detach", "main")
        git("merge", "--quiet", "--no-ff", "-m", "merge", "topic")
        self.merge = self.repository.head
        git("update-ref", f"refs/pull/{number}/merge", self.merge)
        git("update-ref", f"refs/pull/{number}/head", head)
        git("checkout", "--quiet", "main")
        if fork != "acme/lab":
            git("branch", "--quiet", "-D", "topic")
        self.head = head
        answer = self.deliver(
            "pull_request", github_pull(action, head=head, base=base, fork=fork, number=number)
        )
        assert answer.status_code == 202, answer.text
        return self.settled(answer.json()["delivery"])


__all__ = ["FLOW", "LOOPBACK", "ON_PUSH", "ZEROS", "Lab"]
