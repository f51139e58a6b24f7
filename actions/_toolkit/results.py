"""The server's artifact service, in the protocol of GitHub's own clients.

Calls are Twirp (JSON over POST); contents go to a signed URL in the dialect of Azure block blobs: blocks first, in any
order and each as often as needed, then the list that makes them one. Nothing shows before `FinalizeArtifact`.
"""

import base64
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote
from xml.sax.saxutils import escape

from _toolkit import http
from _toolkit.artifacts import Artifact, already_there
from _toolkit.step import StepError, human, say

if TYPE_CHECKING:
    from _toolkit.archive import Write
    from _toolkit.manifest import Chunk
    from _toolkit.trees import Entry

BLOCK_BYTES = 8 << 20
AT_A_TIME = 4  # blocks under way, so many times BLOCK_BYTES of memory
_SERVICE = "twirp/github.actions.results.api.v1.ArtifactService"
_CACHES = "twirp/github.actions.results.api.v1.CacheService"
_VERSION = 4  # of artifacts: one zip each


class ResultsService:
    """The artifacts of one run, spoken for by the job's token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._ids = _read_ids(token)

    def upload(
        self, name: str, entries: "Sequence[Entry]", *, retention_days: int, overwrite: bool, level: int
    ) -> tuple[Artifact, str]:
        """Send what the server does not have of the tree; to one that takes none, a zip while it is being written."""
        if overwrite:
            self._delete(name)
        created = self._create(name, {**self._wanted(name, retention_days), "tree": True})
        if _is_tree(created):
            return self._send_tree(name, created, entries, {"name": name})
        return self._send_zip({"name": name}, created, entries, level), ""

    def keep(
        self,
        name: str,
        entries: "Sequence[Entry]",
        about: Mapping[str, object],
        check: Callable[[], None] | None = None,
    ) -> tuple[Artifact, str]:
        """Send a tree that the job keeps; it takes the place of what this job has kept under the name, once it is whole.

        `check` is called before it counts, and may raise.
        """
        created = self._create(name, {"name": name, "version": _VERSION, "kept": dict(about), "tree": True})
        named: dict[str, object] = {"name": name, "artifact_id": _field(created, "artifact_id")}
        if _is_tree(created):
            return self._send_tree(name, created, entries, named, check)
        return self._send_zip(named, created, entries, 1), ""

    def fetch_brought(self, item: Mapping[str, object], target: Path) -> str:
        """Fetch an artifact that was found for this job, of whichever run, as a file; gives the SHA-256 of what came, in hex."""
        answer = self._call(
            "GetSignedArtifactURL", {"name": item["artifact"], "artifact_id": str(item["id"])}
        )
        return http.download(_field(answer, "signed_url"), target)

    def _send_tree(
        self,
        name: str,
        created: dict[str, object],
        entries: "Sequence[Entry]",
        named: dict[str, object],
        check: Callable[[], None] | None = None,
    ) -> tuple[Artifact, str]:
        from _toolkit.known import Known
        from _toolkit.tree_upload import upload_tree

        service = TreeOnServer(f"{self._url}/api/v1/trees/{_field(created, 'artifact_id')}", self._token)
        sent = upload_tree(entries, service, Known(os.environ.get("RUNNER_TEMP", "")))
        digest = service.put_manifest(sent.raw)
        size = sent.manifest.size
        if check is not None:
            check()
        done = self._call("FinalizeArtifact", {**named, "hash": digest})
        here = size - sent.sent_bytes
        said = f", {human(here)} of it were on the server" if here else ""
        return Artifact(name, _field(done, "artifact_id"), size, digest, is_tree=True), said

    def _send_zip(
        self,
        named: dict[str, object],
        created: dict[str, object],
        entries: "Sequence[Entry]",
        level: int,
    ) -> Artifact:
        from _toolkit.archive import write_tree

        with BlockUpload(_field(created, "signed_upload_url")) as blob:
            write_tree(blob, entries, level)
            blob.commit()
        return self._finalize(named, blob)

    def _wanted(self, name: str, retention_days: int) -> dict[str, object]:
        wanted: dict[str, object] = {"name": name, "version": _VERSION}
        if retention_days:
            until = datetime.now(UTC) + timedelta(days=retention_days)
            wanted["expires_at"] = until.strftime("%Y-%m-%dT%H:%M:%SZ")
        return wanted

    def _create(self, name: str, wanted: dict[str, object]) -> dict[str, object]:
        try:
            return self._call("CreateArtifact", wanted)
        except http.HttpError as error:
            if error.status == 409 or _twirp_code(error) == "already_exists":
                raise already_there(name) from None
            raise

    def _finalize(self, named: dict[str, object], blob: "BlockUpload") -> Artifact:
        digest = f"sha256:{blob.digest}"
        done = self._call("FinalizeArtifact", {**named, "size": str(blob.size), "hash": digest})
        return Artifact(str(named["name"]), _field(done, "artifact_id"), blob.size, digest)

    def list(self) -> list[Artifact]:
        """All artifacts of the run, of all its jobs."""
        found = self._call("ListArtifacts", {}).get("artifacts") or []
        if not isinstance(found, list):
            raise StepError("the server's list of artifacts is no list")
        return [_read_artifact(item) for item in found if isinstance(item, dict)]

    def fetch(self, artifact: Artifact, folder: Path) -> str:
        """Fetch the artifact: by content, or its zip from its signed URL."""
        if artifact.is_tree:
            return self.fetch_tree(artifact.id, artifact.digest, folder)
        from _toolkit.archive import unpack_checked

        run, _, job = artifact.key.partition("/")
        ids = {"workflow_run_backend_id": run, "workflow_job_run_backend_id": job}
        answer = self._call("GetSignedArtifactURL", {**ids, "name": artifact.name})
        archive = folder.with_name(f"{folder.name}.zip")
        http.download(_field(answer, "signed_url"), archive)
        said = unpack_checked(archive, folder, artifact)
        archive.unlink()
        return said

    def fetch_tree(self, number: str, digest: str, folder: Path) -> str:
        """Make the new `folder` of the tree of the artifact with this number; gives what there is to say."""
        from _toolkit.tree_download import download_tree

        manifest = download_tree(
            TreeOnServer(f"{self._url}/api/v1/trees/{number}", self._token), digest, folder
        )
        count = manifest.count
        return f"{count} {'file' if count == 1 else 'files'}, {human(manifest.size)}"

    def _delete(self, name: str) -> None:
        try:
            self._call("DeleteArtifact", {"name": name})
        except http.HttpError as error:
            if error.status != 404 and _twirp_code(error) != "not_found":
                raise

    def _call(self, method: str, message: dict[str, object]) -> dict[str, object]:
        read = _call(f"{self._url}/{_SERVICE}/{method}", self._token, {**self._ids, **message})
        if read.get("ok") is False:
            raise StepError(f"{method}: the server's answer can't be used")
        return read


class TreeOnServer:
    """One tree that is stored by content: sent to, or fetched from, `url`."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    def claim(self, chunks: "Sequence[Chunk]") -> set[str]:
        """Which of the chunks are to be sent; the others stay there."""
        answer = self._call("POST", "claims", json.dumps({"chunks": chunks}).encode(), "application/json")
        missing = json.loads(answer)["missing"]
        return set(missing)

    def send(self, chunks: "Sequence[Chunk]", pieces: Sequence[bytes | memoryview]) -> None:
        """Send chunks, which are the pieces."""
        listed = json.dumps(chunks, separators=(",", ":")).encode()
        head = len(listed).to_bytes(4, "big") + listed
        self._call("PUT", "packs", [head, *pieces])

    def put_manifest(self, raw: bytes) -> str:
        """All chunks are there, and this is what they are; gives the tree's digest."""
        answer = json.loads(self._call("PUT", "manifest", raw))
        return str(answer["digest"])

    def fetch_manifest(self) -> bytes:
        """What is in the tree."""
        return self._call("GET", "manifest")

    def fetch_chunks(self, digests: Sequence[str]) -> bytes:
        """These chunks, one after the other."""
        return self._call("POST", "chunks", json.dumps({"chunks": digests}).encode(), "application/json")

    def _call(self, verb: str, path: str, body: http.Body | None = None, kind: str = "") -> bytes:
        headers = {**self._headers, **({"Content-Type": kind} if kind else {})}
        if isinstance(body, list):
            headers["Content-Length"] = str(sum(map(len, body)))
        try:
            return http.request(verb, f"{self._url}/{path}", body, headers).body
        except http.HttpError as error:
            raise http.HttpError(_explain(error), error.status, error.body) from None


class CacheService:
    """The server's cache service, in the protocol of GitHub's own clients."""

    def __init__(self, url: str, token: str) -> None:
        self._url = f"{url.rstrip('/')}/{_CACHES}"
        self._token = token

    def save(self, key: str, version: str, write: "Write") -> str:
        """Keep what `write` writes under the key; gives why not, where the server keeps none of this run."""
        named = {"key": key, "version": version}
        created = _call(f"{self._url}/CreateCacheEntry", self._token, named)
        if created.get("ok") is False:
            return str(created.get("message") or "the server keeps none")
        with BlockUpload(_field(created, "signed_upload_url")) as blob:
            write(blob)
            blob.commit()
        _call(f"{self._url}/FinalizeCacheEntryUpload", self._token, {**named, "size_bytes": str(blob.size)})
        return ""

    def find(self, key: str, prefixes: list[str], version: str) -> tuple[str, str] | None:
        """The key and the URL of the best cache; None where there is none."""
        asked = {"key": key, "restore_keys": prefixes, "version": version}
        found = _call(f"{self._url}/GetCacheEntryDownloadURL", self._token, asked)
        if found.get("ok") is False:
            return None
        return _field(found, "matched_key"), _field(found, "signed_download_url")

    def download(self, url: str, target: Path) -> str:
        """Fetch a cache."""
        return http.download(url, target)


def _call(url: str, token: str, message: dict[str, object]) -> dict[str, object]:
    """One call of a service. Raises HttpError, and StepError for an answer that is none."""
    method = url.rpartition("/")[2]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        answer = http.request("POST", url, json.dumps(message).encode(), headers)
    except http.HttpError as error:
        raise http.HttpError(f"{method}: {_twirp_message(error)}", error.status, error.body) from None
    try:
        read = json.loads(answer.body)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise StepError(f"{method}: the server's answer can't be used")
    return read


class BlockUpload:
    """A file to write to, sent in blocks while it is written. A block that fails is sent again, alone."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._buffer = bytearray()
        self._blocks: list[str] = []
        self._sending: list[Future[None]] = []
        self._room = threading.Semaphore(AT_A_TIME)
        self._pool = ThreadPoolExecutor(AT_A_TIME)
        self._hash = hashlib.sha256()
        self._sent = 0
        self._lock = threading.Lock()
        self.size = 0

    @property
    def digest(self) -> str:
        """The SHA-256 of what was written, in hex."""
        return self._hash.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def write(self, data: bytes, /) -> int:
        """Take `data`; waits while enough blocks are under way."""
        self._hash.update(data)
        self.size += len(data)
        self._buffer += data
        while len(self._buffer) >= BLOCK_BYTES:
            self._send(bytes(self._buffer[:BLOCK_BYTES]))
            del self._buffer[:BLOCK_BYTES]
        return len(data)

    def flush(self) -> None:
        """Nothing to do: blocks have one size."""

    def commit(self) -> None:
        """Send what is left, wait for all blocks, and make them one."""
        if self._buffer:
            self._send(bytes(self._buffer))
            self._buffer.clear()
        for sending in self._sending:
            sending.result()
        latest = "".join(f"<Latest>{escape(block)}</Latest>" for block in self._blocks)
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{latest}</BlockList>'.encode()
        http.request("PUT", f"{self._url}&comp=blocklist", body, {"Content-Type": "application/xml"})

    def _send(self, block: bytes) -> None:
        name = base64.b64encode(b"block-%08d" % len(self._blocks)).decode()
        self._room.acquire()
        for sending in self._sending:
            if sending.done():
                sending.result()  # raises what it raised: no use in sending more
        self._blocks.append(name)
        self._sending.append(self._pool.submit(self._put, name, block))

    def _put(self, name: str, block: bytes) -> None:
        try:
            http.request("PUT", f"{self._url}&comp=block&blockid={quote(name, safe='')}", block)
            with self._lock:
                before, self._sent = self._sent, self._sent + len(block)
                if before // http.PROGRESS_BYTES < self._sent // http.PROGRESS_BYTES:
                    say(f"{human(self._sent)} uploaded")
        finally:
            self._room.release()


def _read_ids(token: str) -> dict[str, str]:
    """Run and job as the token names them. The token is not checked here: the server does that."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        for scope in str(claims["scp"]).split():
            parts = scope.split(":")
            if parts[0] == "Actions.Results" and len(parts) == 3:
                return {"workflow_run_backend_id": parts[1], "workflow_job_run_backend_id": parts[2]}
    except (IndexError, KeyError, TypeError, ValueError):
        pass
    raise StepError(
        "ACTIONS_RUNTIME_TOKEN is not a job's token", "this action needs a job of a flow around it"
    )


def _read_artifact(item: dict[str, object]) -> Artifact:
    """An artifact of the server's list; its keys come in either of Twirp's spellings."""
    run, job = _field(item, "workflow_run_backend_id"), _field(item, "workflow_job_run_backend_id")
    size = _field(item, "size", "0")
    digest = _field(item, "digest", "")
    tree = _field(item, "tree", "")
    number = _field(item, "database_id", "")
    return Artifact(_field(item, "name"), number, int(size), tree or digest, f"{run}/{job}", bool(tree))


def _field(message: dict[str, object], name: str, default: str | None = None) -> str:
    first, *rest = name.split("_")
    camel = first + "".join(part.capitalize() for part in rest)
    value = message.get(name, message.get(camel, default))
    if value is None:
        raise StepError(f"the server's answer has no '{name}'")
    return str(value)


def _is_tree(created: dict[str, object]) -> bool:
    """Whether the server takes what it has made room for by content."""
    return created.get("tree") is True


def _explain(error: http.HttpError) -> str:
    """What the server says of it, in its problem details."""
    try:
        said = json.loads(error.body)
        return f"{said['detail']}{'; ' + said['hint'] if said.get('hint') else ''}"
    except (ValueError, KeyError, TypeError):
        return str(error)


def _twirp_code(error: http.HttpError) -> str:
    return _twirp(error).get("code", "")


def _twirp_message(error: http.HttpError) -> str:
    return _twirp(error).get("msg") or str(error)


def _twirp(error: http.HttpError) -> dict[str, str]:
    try:
        read = json.loads(error.body)
    except ValueError:
        return {}
    return {key: str(value) for key, value in read.items()} if isinstance(read, dict) else {}
