"""The code of a local run, served on this machine only, for as long as the run that started this process holds its standard input.

    python -m agent.serving_git.loopback
    < {"repositories": {"acme/lab": {"place": "/path/of/repository", "default_branch": "main", "head": "COMMIT",
                                     "pull_request": {}, "large_files": "/path/of/lfs/objects"}},
       "addresses": ["127.0.0.1"], "host": "https://github.com"}
    > {"ports": [41234]}
    < {"add": "TOKEN"}        a job begins: its token opens the repositories
    < {"remove": "TOKEN"}     and when it has ended, no more
    < (end of file)           the run is over, or died: so does this

A process of its own: whoever runs a flow forks the jobs, and has no threads. It is started for runs that may ask for it alone.
"""

import hmac
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from agent.errors import AgentError, NotFoundError, RefusedError, UnreachableError
from agent.serving_git import large_files
from agent.serving_git import upload_pack as git

_AT_ONCE: Final = 8
_API: Final = "/api/v3/"
_IDLE_SECONDS: Final = 120.0
_LONGEST_LINE: Final = 64 << 10


class LoopbackServer(ThreadingHTTPServer):
    """Answers git for the holders of `tokens`."""

    daemon_threads = True

    def __init__(
        self, address: str, repositories: Mapping[str, Mapping[str, Any]], tokens: set[str], host: str
    ) -> None:
        self.host = host  # whose other public repositories are handed on
        self.repositories = {name.lower(): (name, said) for name, said in repositories.items()}
        self.tokens = tokens
        self.turns = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__((address, 0), _Handler)


def main() -> None:
    """Serve until standard input ends."""
    told = json.loads(sys.stdin.readline())
    tokens: set[str] = set()
    known, host = told["repositories"], told["host"]
    servers = [LoopbackServer(address, known, tokens, host) for address in told["addresses"]]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(json.dumps({"ports": [server.server_address[1] for server in servers]}) + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        change = json.loads(line)
        tokens.update(filter(None, [change.get("add")]))
        tokens.discard(change.get("remove", ""))
    os.killpg(0, signal.SIGKILL)  # with each git that still sends


class _RefusedError(Exception):
    """An answer that is no repository."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said


class _Handler(BaseHTTPRequestHandler):
    server: LoopbackServer
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS

    def do_GET(self) -> None:
        """The refs, or what the repository has."""
        if large_files.OBJECTS in self.path:
            self._answer(self._send_large_file)
        else:
            self._answer(self._send_facts if self.path.startswith(_API) else self._send_refs)

    def do_POST(self) -> None:
        """The objects."""
        if self.path.endswith(large_files.BATCH):
            self._answer(self._send_batch)
        else:
            self._answer(self._send_facts if self.path.startswith(_API) else self._send_objects)

    do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - as the base class finds them

    def log_message(self, *_: object) -> None:
        """Say nothing: the terminal is the run's."""

    def _answer(self, work: Any) -> None:
        try:
            self._check_token()
            with self.server.turns:
                work()
        except _RefusedError as error:
            self._refuse(error.status, error.said)
        except NotFoundError as error:
            self._refuse(404, str(error))
        except UnreachableError as error:
            self._refuse(502, str(error))
        except OSError:  # whoever asked has gone
            self.close_connection = True

    def _refuse(self, status: int, said: str) -> None:
        self.close_connection = True  # its body may not have been read
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="flow"')
        text = f"{said}\n".encode()
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _check_token(self) -> None:
        shown = git.read_token(self.headers.get("Authorization", ""))
        known = [hmac.compare_digest(shown.encode(), token.encode()) for token in list(self.server.tokens)]
        if True not in known:
            raise _RefusedError(401, "the token of a running job of this run is needed")

    def _find(self, end: str) -> Path | None:
        """Where the repository lies that is asked for; None for one that is not served here."""
        facts = self._find_facts(end)
        return None if facts is None else Path(facts["place"])

    def _find_facts(self, end: str) -> Mapping[str, Any] | None:
        path = unquote(urlsplit(self.path).path)
        name = path.removeprefix("/").removesuffix(end)
        found = self.server.repositories.get(name.removesuffix(".git").lower())
        return found[1] if path.endswith(end) and found is not None else None

    def _relay(self, asked: IO[bytes] | None = None) -> None:
        """What the host of the code says of another repository of its."""
        from agent.serving_git.relay import RedirectedError, relay  # most runs read their own code alone

        try:
            with relay(self.server.host, self.path, dict(self.headers.items()), asked) as answer:
                self._begin_stream(answer.headers.get("Content-Type", ""))
                while chunk := answer.read1(git.CHUNK_BYTES):
                    self.wfile.write(chunk)
        except RedirectedError as moved:
            self._lead_to(moved.path)

    def _lead_to(self, path: str) -> None:
        self.send_response(301)
        self.send_header("Location", f"http://{self.headers.get('Host', '')}{path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _find_default_branch(self, path: str) -> str | None:
        """Of another repository `owner/name` that is asked for as a whole; None of one that is not there."""
        from agent.serving_git.relay import RedirectedError, find_default_branch

        try:
            return find_default_branch(self.server.host, path)
        except (NotFoundError, RedirectedError):
            return None

    def _find_storage(self, end: str) -> Path | None:
        """Where the clone has what Git LFS keeps."""
        facts = self._find_facts(end)
        if facts is None:
            raise _RefusedError(
                404, f"there is no {unquote(urlsplit(self.path).path)} here: a local run serves its own code"
            )
        storage = facts.get("large_files", "")
        return Path(storage) if storage else None

    def _send_batch(self) -> None:
        storage = self._find_storage(large_files.BATCH)
        address = f"http://{self.headers.get('Host', '')}{self.path.removesuffix(large_files.BATCH)}"
        shown = self.headers.get("Authorization", "")
        body = b"".join(self._read_body())
        try:
            said = large_files.answer_batch(body, storage, address, shown, large_files.NOT_IN_CLONE)
        except AgentError as error:
            raise _RefusedError(403 if isinstance(error, RefusedError) else 422, str(error)) from None
        self._send_head(large_files.MEDIA_TYPE, len(data := json.dumps(said).encode()))
        self.wfile.write(data)

    def _send_large_file(self) -> None:
        oid = self.path.rpartition("/")[2]
        storage = self._find_storage(f"{large_files.OBJECTS}{oid}")
        found = large_files.find_object(storage, oid)
        if found is None:
            raise _RefusedError(404, large_files.NOT_IN_CLONE)
        with found.open("rb") as file:
            self._send_head("application/octet-stream", os.fstat(file.fileno()).st_size)
            shutil.copyfileobj(file, self.wfile, git.CHUNK_BYTES)

    def _send_head(self, kind: str, size_bytes: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size_bytes))
        self.end_headers()

    def _send_facts(self) -> None:
        from agent.serving_git.rest import answer, refuse  # most runs never ask
        from agent.serving_git.shapes import About

        parts = urlsplit(self.path)
        owner, _, rest = parts.path.removeprefix(_API).removeprefix("repos/").partition("/")
        name, _, rest = rest.partition("/")
        found = self.server.repositories.get(f"{owner}/{name}".lower())
        is_asked = self.command == "GET" and parts.path.startswith(f"{_API}repos/")
        other = self._find_default_branch(f"{owner}/{name}") if is_asked and not (found or rest) else None
        if other is not None:
            found = f"{owner}/{name}", {"place": "", "default_branch": other}
        if found is None or not is_asked:
            said = refuse(parts.path.removeprefix(_API))
        else:
            facts = {key: value for key, value in found[1].items() if key not in ("place", "large_files")}
            about = About(
                Path(found[1]["place"]), found[0], f"http://{self.headers.get('Host', '')}", **facts
            )
            query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
            said = answer(about, rest, query)
        body = json.dumps(said.body).encode()
        self.send_response(said.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if said.more:
            query = {**query, "page": str(int(query.get("page", "1")) + 1)}
            place = f"http://{self.headers.get('Host', '')}{parts.path}?{urlencode(query)}"
            self.send_header("Link", f'<{place}>; rel="next"')
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def _send_refs(self) -> None:
        place = self._find("/info/refs")
        if parse_qs(urlsplit(self.path).query).get("service") != [git.SERVICE]:
            raise _RefusedError(403, "the code of a local run is only read, and by git's smart protocol")
        protocol = self.headers.get("Git-Protocol", "")
        if place is None:
            self._relay()
        else:
            self._stream(git.advertise_command(place), git.ADVERTISEMENT, git.opening(protocol), None)

    def _send_objects(self) -> None:
        place = self._find(f"/{git.SERVICE}")
        if self.headers.get("Content-Type") != git.REQUEST:
            raise _RefusedError(415, "this is no request of git's")
        with tempfile.TemporaryFile() as asked:
            for piece in git.unpack_request(self._read_body(), self.headers.get("Content-Encoding", "")):
                asked.write(piece)
            asked.seek(0)
            if place is None:
                self._relay(asked)
            else:
                self._stream(git.answer_command(place), git.RESULT, b"", asked)

    def _read_body(self) -> Iterator[bytes]:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(_LONGEST_LINE).split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline(_LONGEST_LINE)
            self.rfile.readline(_LONGEST_LINE)
            return
        left = int(self.headers.get("Content-Length", "0"))
        while left and (piece := self.rfile.read(min(left, git.CHUNK_BYTES))):
            left -= len(piece)
            yield piece

    def _begin_stream(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def _stream(self, command: list[str], kind: str, opening: bytes, asked: IO[bytes] | None) -> None:
        self._begin_stream(kind)
        environment = git.protocol_environment(self.headers.get("Git-Protocol", ""))
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if asked is None else asked,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
        ) as process:
            assert process.stdout is not None
            try:
                self.wfile.write(opening)
                while chunk := process.stdout.read1(git.CHUNK_BYTES):  # type: ignore[attr-defined]
                    self.wfile.write(chunk)
            finally:
                process.kill()


if __name__ == "__main__":
    main()
