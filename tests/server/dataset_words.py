"""The words of the tests of datasets: a client of the API that pushes and reads as the command does, in memory."""

import hashlib
from typing import Any

import httpx

Files = dict[str, bytes]


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def file_of(path: str, content: bytes, mode: str = "644") -> dict[str, Any]:
    return {"path": path, "size_bytes": len(content), "digest": digest_of(content), "mode": mode}


class Pusher:
    """Pushes versions of one dataset through `client`, whose base is the API."""

    def __init__(
        self, client: httpx.Client, name: str, *, create: bool = True, project: str = "default"
    ) -> None:
        self.client = client
        self.name = name
        self.query = {} if project == "default" else {"project": project}
        if create:
            made = self.post("/datasets", {"name": name})
            assert made.status_code == 201, made.text

    def post(self, path: str, body: Any, **more: Any) -> httpx.Response:
        return self.client.post(path, json=body, params=self.query, **more)

    def get(self, path: str = "") -> httpx.Response:
        return self.client.get(f"/datasets/{self.name}{path}", params=self.query)

    def begin(self, **body: Any) -> str:
        made = self.post(f"/datasets/{self.name}/drafts", body)
        assert made.status_code == 201, made.text
        return f"/datasets/{self.name}/drafts/{made.json()['draft']}"

    def name_files(self, draft: str, files: Files) -> list[str]:
        named = self.post(
            f"{draft}/files", {"files": [file_of(path, content) for path, content in files.items()]}
        )
        assert named.status_code == 200, named.text
        return named.json()["missing"]

    def send(self, draft: str, content: bytes, digest: str = "") -> httpx.Response:
        url = f"{draft}/contents/{digest or digest_of(content)}"
        return self.client.put(url, content=content, params=self.query)

    def send_missing(self, draft: str, files: Files) -> list[str]:
        missing = self.name_files(draft, files)
        for content in {digest_of(content): content for content in files.values()}.values():
            if digest_of(content) in missing:
                assert self.send(draft, content).status_code == 204
        return missing

    def commit(self, draft: str, **body: Any) -> httpx.Response:
        return self.post(f"{draft}/commit", body)

    def push(self, files: Files, *, tags: list[str] | None = None, **body: Any) -> dict[str, Any]:
        draft = self.begin(**body)
        self.send_missing(draft, files)
        done = self.commit(draft, tags=tags or [])
        assert done.status_code == 201, done.text
        return done.json()

    def read(self, version: str = "latest") -> Files:
        listed = self.get(f"/versions/{version}/files").json()["files"]
        found = {}
        for file in listed:
            down = self.client.get(
                f"/datasets/{self.name}/versions/{version}/contents/{file['digest']}",
                params=self.query,
                follow_redirects=True,
            )
            assert down.status_code == 200, down.text
            found[file["path"]] = down.content
        return found
