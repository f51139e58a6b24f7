"""Real git repositories in temporary folders, and a real git host on the loopback interface."""

import base64
import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ACTION = """name: hello
runs:
  using: composite
  steps: [{run: echo hello, shell: bash}]
"""


class Repository:
    """A repository with a work tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def git(self, *arguments: str, data: bytes | None = None) -> str:
        """Run git in the repository; its output without the last line's end."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            input=data,
            env={
                **os.environ,
                "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z",
                "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org",
                "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
            },
            capture_output=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().rstrip("\n")

    def commit(
        self, files: Mapping[str, str | bytes], *, tags: Sequence[str] = (), message: str = "work"
    ) -> str:
        """Write `files`, commit everything, set `tags` (moving them if they exist); gives the commit."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        for tag in tags:
            self.git("tag", "--force", tag)
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")


def make_repository(
    folder: Path,
    files: Mapping[str, str | bytes] | None = None,
    *,
    tags: Sequence[str] = ("v1",),
    branch: str = "main",
    object_format: str = "sha1",
) -> Repository:
    """A new repository at `folder` with one commit; without `files` it holds a small composite action."""
    folder.mkdir(parents=True)
    repository = Repository(folder)
    repository.git("init", "--quiet", f"--initial-branch={branch}", f"--object-format={object_format}")
    repository.commit({"action.yml": ACTION} if files is None else files, tags=tags)
    return repository


class GitHost:
    """Serves the repositories below a folder over HTTP, by git's own `http-backend`."""

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        self.url = f"http://127.0.0.1:{port}"
        self.requests: list[str] = []  # "METHOD path?query" in the order of arrival
        self.authorizations: list[str] = []  # that clients have sent
        self.credentials = ""  # "user:password" that a client must send, if any
        self.status = 0  # answer every request with this instead
        self.headers: dict[str, str] = {}  # and with these, then
        self.seconds = 0.0  # before each answer
        self.moves: dict[str, str] = {}  # the beginning of a path: what stands there instead, a path or a URL

    def find_large(self, oid: str) -> Path | None:
        """The file in one of the repositories that Git LFS keeps under `oid`."""
        return next(self.root.glob(f"**/lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}"), None)


@contextlib.contextmanager
def serve_git(root: Path) -> Iterator[GitHost]:
    """A git host for the repositories below `root`, for as long as the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    host = GitHost(root, server.server_address[1])
    server.git_host = host  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        host: GitHost = self.server.git_host  # type: ignore[attr-defined]
        host.requests.append(f"{self.command} {self.path}")
        host.authorizations += filter(None, [self.headers.get("Authorization")])
        time.sleep(host.seconds)
        expected = base64.b64encode(host.credentials.encode()).decode()
        scheme, _, shown = self.headers.get("Authorization", "").partition(" ")
        is_known = scheme.lower() == "basic" and shown == expected
        moved = next((start for start in host.moves if self.path.startswith(start)), None)
        if host.status:
            self._send(host.status, list(host.headers.items()))
        elif moved is not None:
            self._send(301, [("Location", host.moves[moved] + self.path.removeprefix(moved))])
        elif host.credentials and not is_known:
            self._send(401, [("WWW-Authenticate", 'Basic realm="git"')])
        elif self.path.endswith("/info/lfs/objects/batch"):
            self._answer_batch(host, json.loads(body))
        elif (found := host.find_large(self.path.rpartition("/")[2])) is not None:
            self._send(200, [("Content-Type", "application/octet-stream")], found.read_bytes())
        else:
            self._run_backend(host, body)

    def _answer_batch(self, host: GitHost, asked: dict[str, Any]) -> None:
        """Git LFS' batch API (docs/api/batch.md of git-lfs), downloads only."""
        objects = []
        for item in asked["objects"]:
            if host.find_large(item["oid"]) is None:
                said: dict[str, Any] = {"error": {"code": 404, "message": "Object does not exist"}}
            else:
                header = {"Authorization": self.headers.get("Authorization", "")}
                href = f"{host.url}/large/{item['oid']}"
                said = {"authenticated": True, "actions": {"download": {"href": href, "header": header}}}
            objects.append({"oid": item["oid"], "size": item["size"], **said})
        answer = json.dumps({"transfer": "basic", "objects": objects}).encode()
        self._send(200, [("Content-Type", "application/vnd.git-lfs+json")], answer)

    def _run_backend(self, host: GitHost, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            check=False,
            env={
                **os.environ,
                "GIT_PROJECT_ROOT": str(host.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
                "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "REMOTE_ADDR": "127.0.0.1",
                "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
            },
        )  # fmt: skip
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n") if ": " in line]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        self._send(status, [pair for pair in headers if pair[0] != "Status"], content)

    def _send(self, status: int, headers: Sequence[tuple[str, ...]], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: `requests` has it all."""
