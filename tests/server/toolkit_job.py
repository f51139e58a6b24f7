"""A running job as the client of the services that GitHub's own clients call."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from server.vocabulary import ServerProcess, TestAgent, journal, log

from agent.wire import messages as m

ARTIFACTS = "/twirp/github.actions.results.api.v1.ArtifactService"
CACHES = "/twirp/github.actions.results.api.v1.CacheService"


class Job:
    """A running job, as the client of the artifact service."""

    def __init__(self, server: ServerProcess, name: str = "worker", **more: Any) -> None:
        """`more` is what the run is submitted with."""
        self.server = server
        self.agent = TestAgent(server, name=name, token=server.registration()).connect()
        self.run = server.submit(**more)
        self.assign: m.Assign = self.agent.take()
        self.token = self.agent.open(self.assign, "ACTIONS_RUNTIME_TOKEN")

    def end(self) -> None:
        self.agent.finish(self.assign, journal(self.assign))
        self.agent.disconnect()

    def call(self, method: str, **fields: Any) -> httpx.Response:
        body = {
            "workflow_run_backend_id": str(self.run),
            "workflow_job_run_backend_id": self.assign.job,
            **fields,
        }
        return self.post(f"{ARTIFACTS}/{method}", body)

    def cache(self, method: str, **fields: Any) -> httpx.Response:
        return self.post(f"{CACHES}/{method}", fields)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.server.http.post(path, json=body, headers=self.headers)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def create(self, name: str, **more: Any) -> str:
        answer = self.call("CreateArtifact", name=name, version=7, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()["signed_upload_url"]

    def upload(self, name: str, content: bytes, **more: Any) -> str:
        url = self.create(name, **more)
        headers = {"x-ms-blob-type": "BlockBlob"}
        assert self.server.http.put(url, content=content, headers=headers).status_code == 201
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        answer = self.call("FinalizeArtifact", name=name, size=str(len(content)), hash=digest)
        assert answer.status_code == 200, answer.text
        return answer.json()["artifact_id"]

    def keep(self, name: str, content: bytes, *, kind: str = "artifact", finalizes: bool = True) -> str:
        """As the step does that keeps a job's data; the artifact's id."""
        kept = {"kind": kind, "label": name, "path": name, "is_file": False, "size": len(content)}
        made = self.call("CreateArtifact", name=name, version=4, kept=kept)
        assert made.status_code == 200, made.text
        headers = {"x-ms-blob-type": "BlockBlob"}
        put = self.server.http.put(made.json()["signed_upload_url"], content=content, headers=headers)
        assert put.status_code == 201
        number: str = made.json()["artifact_id"]
        if finalizes:
            done = self.call("FinalizeArtifact", name=name, artifact_id=number, size=str(len(content)))
            assert done.status_code == 200, done.text
        return number

    def fetch(self, name: str, **more: str) -> httpx.Response:
        """The bytes of an artifact, or why it can't be had."""
        answer = self.call("GetSignedArtifactURL", name=name, **more)
        return self.server.http.get(answer.json()["signed_url"]) if answer.status_code == 200 else answer

    def names(self) -> list[str]:
        return [entry["name"] for entry in self.call("ListArtifacts").json()["artifacts"]]


def peak_memory_bytes(server: ServerProcess) -> int:
    """The most memory that the server ever had."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10


def block_url(url: str, number: int) -> str:
    block = base64.b64encode(f"block-{number:06}".encode()).decode()
    return f"{url}&{urlencode({'comp': 'block', 'blockid': block})}"


def block_list(*numbers: int) -> str:
    blocks = (base64.b64encode(f"block-{number:06}".encode()).decode() for number in numbers)
    body = "".join(f"<Latest>{block}</Latest>" for block in blocks)
    return f'<?xml version="1.0" encoding="utf-8"?><BlockList>{body}</BlockList>'


def have_trunk(server: ServerProcess) -> None:
    """A repository of the project, whose default branch's caches all may read."""
    columns = "id, name, provider, url, api_url, default_branch, folders, forks, reports_status, head, problem, created_at"
    values = "'repo_1', 'a/b', 'git', 'https://x/a/b', '', 'main', '[]', 'never', FALSE, '', '', 0"
    server.sql(f"INSERT INTO repositories ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING")


def finished_run(server: ServerProcess, name: str = "worker") -> int:
    """A run with an artifact and a line of log."""
    job = Job(server, name)
    job.upload("model", b"weights")
    job.agent.finish(job.assign, journal(job.assign, log("hello\n")))
    job.agent.disconnect()
    return job.run
