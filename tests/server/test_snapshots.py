"""Snapshots belong to projects: who finds them, how many there may be, and when they go."""

import hashlib
from collections.abc import Callable

from server.vocabulary import ONE_JOB, ServerProcess

Servers = Callable[..., ServerProcess]


def test_a_projects_snapshots_are_its_own(make_server: Servers) -> None:
    server = make_server()
    assert server.api.post("/projects", json={"name": "other"}).status_code == 201
    digest = f"sha256:{hashlib.sha256(b'tree').hexdigest()}"
    path, other = f"/snapshots/{digest}", {"project": "other"}
    assert server.api.put(path, content=b"tree").status_code == 201
    assert server.api.get(path).content == b"tree"
    assert server.api.get(path, params=other).status_code == 404
    source = {"kind": "snapshot", "digest": digest}
    body = {"flow": {"file": "flow.yml", "text": ONE_JOB}, "source": source}
    refused = server.api.post("/runs", json=body, params=other)
    assert refused.status_code == 422
    assert "not in this project" in refused.text
    assert server.api.put(path, content=b"tree", params=other).status_code == 201
    assert server.api.post("/runs", json=body, params=other).status_code == 201
    server.sql("UPDATE snapshots SET created_at = 1")
    gone = server.api.post("/retention").json()["items"]
    assert [(item["kind"], item["project"]) for item in gone] == [("snapshot", "default")]
    assert server.api.get(path, params=other).content == b"tree"
    assert sum(path.is_file() for path in (server.data / "blobs" / "snapshots").rglob("*")) == 1


def test_a_project_has_so_much_room_for_snapshots(make_server: Servers) -> None:
    server = make_server()
    settings = {"settings": {"max_snapshot_bytes": 10}}
    assert server.api.patch("/projects/default", json=settings).status_code == 200

    def put(content: bytes) -> int:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        return server.api.put(f"/snapshots/{digest}", content=content).status_code

    assert [put(content) for content in (b"x" * 11, b"x" * 6, b"y" * 5, b"z" * 4, b"a", b"x" * 6)] == [
        *(413, 201, 413, 201, 413),
        200,
    ]
