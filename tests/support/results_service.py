"""A results service on the loopback interface: GitHub's artifact protocol, block blobs, snapshots, and faults to order.

It keeps what it is given in memory and checks what a client must do: the token, the ids, the block list, the digest.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

TWIRP = "/twirp/github.actions.results.api.v1.ArtifactService/"


def make_token(run: str = "run-1", job: str = "job-1") -> str:
    """A token with the claims of a job's; its signature is anything, clients don't look at it."""
    claims = {"scp": f"Actions.Example Actions.Results:{run}:{job}", "exp": 4_000_000_000}
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + ".c2ln"


@dataclass
class StoredArtifact:
    """One artifact; it is listed once it is final."""

    name: str
    job: str
    id: int
    blocks: dict[str, bytes] = field(default_factory=dict)
    content: bytes | None = None
    digest: str = ""
    is_final: bool = False
    expires_at: str = ""


@dataclass
class Fault:
    """What happens instead of the answer to the next `times` requests whose line matches `pattern`."""

    pattern: str
    times: int = 1
    status: int = 0  # answer this
    headers: tuple[tuple[str, str], ...] = ()
    drop_after: int | None = None  # send so many bytes of the body, then close


class ResultsService:
    """The state behind the handler; tests look into it and order faults."""

    def __init__(self) -> None:
        self.url = ""
        self.token = make_token()
        self.artifacts: list[StoredArtifact] = []
        self.snapshots: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        self.knows_ranges = True
        self.spelling: Callable[[str], str] = lambda name: name  # of the answers' keys
        self.change: Callable[[bytes], bytes] = lambda content: content  # of what is downloaded

    def find(self, name: str) -> StoredArtifact | None:
        return next((artifact for artifact in self.artifacts if artifact.name == name), None)

    def add(self, name: str, content: bytes, job: str = "job-0") -> None:
        """An artifact of an earlier job."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        artifact = StoredArtifact(
            name, job, len(self.artifacts) + 1, content=content, digest=digest, is_final=True
        )
        self.artifacts.append(artifact)

    def add_snapshot(self, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.snapshots[digest] = content
        return digest

    def take_fault(self, line: str) -> Fault | None:
        with self.lock:
            self.requests.append(line)
            for fault in self.faults:
                if fault.times and re.search(fault.pattern, line):
                    fault.times -= 1
                    return fault
        return None

    def call(self, method: str, message: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """One Twirp call: status and answer."""
        name = message.get("name", "")
        artifact = self.find(name)
        with self.lock:
            if method == "CreateArtifact":
                if artifact:
                    return 409, {"code": "already_exists", "msg": "an artifact with this name already exists"}
                assert message["version"] == 4
                artifact = StoredArtifact(
                    name, message["workflow_job_run_backend_id"], len(self.artifacts) + 1
                )
                artifact.expires_at = message.get("expires_at", "")
                self.artifacts.append(artifact)
                return 200, {"ok": True, "signed_upload_url": f"{self.url}/blob/{artifact.id}?sig=a%2Bb"}
            if method == "ListArtifacts":
                return 200, {"artifacts": [self.describe(one) for one in self.artifacts if one.is_final]}
            if artifact is None:
                return 404, {"code": "not_found", "msg": "no such artifact"}
            if method == "FinalizeArtifact":
                assert artifact.content is not None
                assert message["size"] == str(len(artifact.content))
                assert message["hash"] == f"sha256:{hashlib.sha256(artifact.content).hexdigest()}"
                artifact.digest, artifact.is_final = message["hash"], True
                return 200, {"ok": True, "artifact_id": str(artifact.id)}
            if method == "DeleteArtifact":
                self.artifacts.remove(artifact)
                return 200, {"ok": True, "artifact_id": str(artifact.id)}
            assert method == "GetSignedArtifactURL"
            assert message["workflow_job_run_backend_id"] == artifact.job
            return 200, {"signed_url": f"{self.url}/blob/{artifact.id}?sig=a%2Bb"}

    def describe(self, artifact: StoredArtifact) -> dict[str, Any]:
        return {
            self.spelling(name): value
            for name, value in {
                "workflow_run_backend_id": "run-1",
                "workflow_job_run_backend_id": artifact.job,
                "database_id": str(artifact.id),
                "name": artifact.name,
                "size": str(len(artifact.content or b"")),
                "digest": artifact.digest,
            }.items()
        }


@contextlib.contextmanager
def serve_results() -> Iterator[ResultsService]:
    """A service for as long as the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    service = ResultsService()
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    server.results_service = service  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def service(self) -> ResultsService:
        return self.server.results_service  # type: ignore[attr-defined,no-any-return]

    def do_POST(self) -> None:
        body, fault = self._begin()
        if fault:
            return
        if not self._is_authorized():
            self._send(401, {"code": "unauthenticated", "msg": "invalid token"})
            return
        message = json.loads(body)
        assert message.get("workflow_run_backend_id") == "run-1"
        self._send(*self.service.call(self.path.removeprefix(TWIRP), message))

    def do_PUT(self) -> None:
        body, fault = self._begin()
        if fault:
            return
        query = parse_qs(urlsplit(self.path).query)
        assert query["sig"] == ["a+b"], self.path
        artifact = self._artifact()
        if query["comp"] == ["block"]:
            artifact.blocks[query["blockid"][0]] = body
        else:
            assert query["comp"] == ["blocklist"], self.path
            names = [node.text or "" for node in ET.fromstring(body)]
            assert len({len(name) for name in names}) <= 1, "block ids of one blob have one length"
            artifact.content = b"".join(artifact.blocks[name] for name in names)
        self._send(201, b"")

    def do_GET(self) -> None:
        _, fault = self._begin(send_fault=False)
        if fault and fault.status:
            self._send(fault.status, b"", fault.headers)
            return
        if self.path.startswith("/api/v1/snapshots/"):
            content = self.service.snapshots.get(self.path.rpartition("/")[2])
            if not self._is_authorized() or content is None:
                self._send(404 if self._is_authorized() else 401, {"title": "no such snapshot"})
                return
        else:
            assert "Authorization" not in self.headers, "a signed URL needs no token"
            content = self._artifact().content or b""
        content = self.service.change(content)
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        status = 206 if start and self.service.knows_ranges else 200
        content = content[int(start[1]) :] if start and status == 206 else content
        self._send(status, content, drop_after=fault.drop_after if fault else None)

    def _begin(self, *, send_fault: bool = True) -> tuple[bytes, Fault | None]:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.service.take_fault(f"{self.command} {self.path}")
        if fault and send_fault:
            if fault.drop_after is not None:
                self.close_connection = True
            else:
                self._send(fault.status, b"<html>bad gateway</html>", fault.headers)
        return body, fault

    def _is_authorized(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.service.token}"

    def _artifact(self) -> StoredArtifact:
        number = int(urlsplit(self.path).path.rpartition("/")[2])
        return next(artifact for artifact in self.service.artifacts if artifact.id == number)

    def _send(
        self,
        status: int,
        content: bytes | dict[str, Any],
        headers: tuple[tuple[str, str], ...] = (),
        drop_after: int | None = None,
    ) -> None:
        if isinstance(content, dict):
            content = json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:drop_after])
        if drop_after is not None:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing: `requests` has it all."""
