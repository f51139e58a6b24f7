"""Caches as GitHub's clients make them, and as an attacker would."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from server.toolkit_job import Job, block_list, block_url, have_trunk
from server.vocabulary import ServerProcess, wait_for

Servers = Callable[..., ServerProcess]
VERSION = "a" * 64
V1 = "/_apis/artifactcache"


@pytest.fixture(scope="module")
def server(blob_server: ServerProcess) -> ServerProcess:
    """A server whose blobs are files, and one whose blobs lie in a bucket."""
    return blob_server


@pytest.fixture
def on(server: ServerProcess) -> Iterator[Callable[..., Job]]:
    """Runs a job on a ref."""
    jobs: list[Job] = []

    def make(ref: str = "refs/heads/main", **more: Any) -> Job:
        job = Job(more.pop("server", server), f"on-{uuid4()}")
        have_trunk(job.server)
        job.server.put_on(job.run, ref, **more)
        jobs.append(job)
        return job

    yield make
    for job in jobs:
        job.end()


def save(job: Job, key: str, content: bytes, version: str = VERSION) -> httpx.Response:
    made = job.cache("CreateCacheEntry", key=key, version=version).json()
    assert made["ok"], made
    headers = {"x-ms-blob-type": "BlockBlob"}
    assert job.server.http.put(made["signed_upload_url"], content=content, headers=headers).status_code == 201
    return job.cache("FinalizeCacheEntryUpload", key=key, version=version, size_bytes=str(len(content)))


def look(job: Job, key: str, *restore: str, version: str = VERSION) -> tuple[str, bytes] | None:
    found = job.cache("GetCacheEntryDownloadURL", key=key, restore_keys=list(restore), version=version)
    assert found.status_code == 200, found.text
    if not found.json()["ok"]:
        return None
    return found.json()["matched_key"], httpx.get(found.json()["signed_download_url"]).content


def test_a_cache_goes_up_and_comes_down_whole(on: Callable[..., Job]) -> None:
    job, key, content = on(), f"pip-{uuid4()}", b"x" * 300_000
    assert look(job, key) is None
    assert save(job, key, content).json()["ok"] is True
    assert look(job, key) == (key, content)
    assert look(job, key, version="b" * 64) is None
    assert look(job, f"{key}x") is None
    assert look(job, "other", key[:-1]) == (key, content)


def test_blocks_make_a_cache_and_a_half_one_is_found_by_nobody(on: Callable[..., Job]) -> None:
    job, key = on(), f"blocks-{uuid4()}"
    url = job.cache("CreateCacheEntry", key=key, version=VERSION).json()["signed_upload_url"]
    job.server.http.put(block_url(url, 1), content=b"second")
    assert look(job, key) is None
    too_early = job.cache("FinalizeCacheEntryUpload", key=key, version=VERSION, size_bytes="11")
    assert "have not arrived" in too_early.json()["msg"]
    job.server.http.put(block_url(url, 0), content=b"first")
    assert job.server.http.put(f"{url}&comp=blocklist", content=block_list(0, 1)).status_code == 201
    wrong = job.cache("FinalizeCacheEntryUpload", key=key, version=VERSION, size_bytes="12")
    assert "11 bytes here, not 12" in wrong.json()["msg"]
    assert job.cache("FinalizeCacheEntryUpload", key=key, version=VERSION, size_bytes="11").json()["ok"]
    assert look(job, key) == (key, b"firstsecond")


def test_a_key_is_written_once(on: Callable[..., Job]) -> None:
    job, key = on(), f"once-{uuid4()}"
    url = job.cache("CreateCacheEntry", key=key, version=VERSION).json()["signed_upload_url"]
    other = on()
    assert other.cache("CreateCacheEntry", key=key, version=VERSION).json()["ok"] is False
    job.server.http.put(url, content=b"good")
    assert job.cache("FinalizeCacheEntryUpload", key=key, version=VERSION, size_bytes="4").json()["ok"]
    assert job.server.http.put(url, content=b"evil").status_code == 409
    for late in (job, other):
        assert late.cache("CreateCacheEntry", key=key, version=VERSION).json()["ok"] is False
    assert look(other, key) == (key, b"good")


def test_a_reservation_that_a_job_left_is_free_again(make_server: Servers) -> None:
    server = make_server()
    source = {"kind": "git", "url": "u", "ref": "refs/heads/main"}
    left = Job(server, "left", source=source)
    assert left.cache("CreateCacheEntry", key="left", version=VERSION).json()["ok"] is True
    assert left.cache("CreateCacheEntry", key="left", version=VERSION).json()["ok"] is True
    left.end()
    second = Job(server, "second", source=source)
    wait_for(lambda: save(second, "left", b"x").json()["ok"])
    second.end()


def test_the_newest_of_a_prefix_is_restored_and_the_first_key_counts_first(on: Callable[..., Job]) -> None:
    job, stem = on(), f"deps-{uuid4()}-"
    for name in ("1", "2", "3"):
        save(job, stem + name, name.encode())
    assert look(job, f"{stem}9", stem) == (f"{stem}3", b"3")
    assert look(job, f"{stem}1", stem) == (f"{stem}1", b"1")
    assert look(job, f"{stem}9", f"{stem}2", stem) == (f"{stem}2", b"2")
    assert look(job, f"{stem[:-1]}") == (f"{stem}3", b"3"), "the key itself is a prefix, too"
    save(job, f"a-{stem}x", b"of the key")
    assert look(job, f"a-{stem}", stem) == (f"a-{stem}x", b"of the key"), "before any other key"
    assert look(job, f"{stem}9", stem.upper()) is None
    assert look(job, f"{stem}9", stem.replace("-", "_")) is None
    assert look(job, f"{stem}9", "%") is None


def test_a_branch_reads_its_own_and_the_default_branchs_and_no_other(on: Callable[..., Job]) -> None:
    stem = f"scoped-{uuid4()}-"
    main, feature, other = on(), on("refs/heads/feature"), on("refs/heads/other")
    save(main, f"{stem}main", b"main")
    save(feature, f"{stem}feature", b"feature")
    assert look(feature, "none", stem) == (f"{stem}feature", b"feature")
    assert look(feature, f"{stem}main") == (f"{stem}main", b"main")
    assert look(other, "none", stem) == (f"{stem}main", b"main")
    assert look(main, "none", stem) == (f"{stem}main", b"main")
    assert look(main, f"{stem}feature") is None
    save(other, f"{stem}main", b"its own, under the same key")
    assert look(other, f"{stem}main") == (f"{stem}main", b"its own, under the same key")
    assert look(main, f"{stem}main") == (f"{stem}main", b"main")


def test_what_a_pull_request_writes_is_never_restored_by_the_branch_it_goes_to(
    on: Callable[..., Job],
) -> None:
    stem = f"poison-{uuid4()}-"
    main = on()
    for event, ref in (("pull_request", "refs/pull/7/merge"), ("pull_request_target", "refs/heads/main")):
        pull = on(ref, base="refs/heads/main", scope="refs/pull/7/merge")
        save(pull, f"{stem}{event}", b"evil")
        assert look(pull, f"{stem}{event}") == (f"{stem}{event}", b"evil")
    assert look(main, f"{stem}pull_request", stem) is None


def test_another_project_neither_reads_nor_writes(on: Callable[..., Job], server: ServerProcess) -> None:
    key = f"mine-{uuid4()}"
    mine, other = on(), on()
    save(mine, key, b"mine")
    assert server.api.post("/projects", json={"name": "b"}).status_code == 201
    server.sql(
        "UPDATE jobs SET project = (SELECT id FROM projects WHERE name = 'b') WHERE id = ?", other.assign.job
    )
    assert look(other, key, key[:4]) is None
    assert save(other, key, b"theirs").json()["ok"] is True
    assert look(mine, key) == (key, b"mine")
    shown = server.api.get("/caches", params={"project": "b"}).json()["caches"]
    assert [row["key"] for row in shown] == [key]
    elsewhere = server.api.delete(f"/caches/{shown[0]['id']}", params={"project": "default"})
    assert elsewhere.status_code == 404


@pytest.mark.parametrize("key", ["", "a,b", "x" * 513, "a\nb", "a\0b", "\x1b[0m"])
def test_keys_that_github_would_not_take_are_refused(on: Callable[..., Job], key: str) -> None:
    job = on()
    answer = job.cache("CreateCacheEntry", key=key, version=VERSION)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
    for version in ("", "../x", "a b"):
        answer = job.cache("CreateCacheEntry", key="good", version=version)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")


def test_after_its_end_a_job_commits_nothing(make_server: Servers) -> None:
    server = make_server()
    job = Job(server, source={"kind": "git", "url": "u", "ref": "refs/heads/main"})
    url = job.cache("CreateCacheEntry", key="late", version=VERSION).json()["signed_upload_url"]
    server.http.put(url, content=b"x")
    job.end()
    late = job.cache("FinalizeCacheEntryUpload", key="late", version=VERSION, size_bytes="1")
    assert (late.status_code, late.json()["code"]) == (401, "unauthenticated")
    assert server.api.get("/caches").json()["caches"] == []


def test_a_url_of_a_cache_opens_no_artifact(on: Callable[..., Job]) -> None:
    job = on()
    url = job.cache("CreateCacheEntry", key=f"shelf-{uuid4()}", version=VERSION).json()["signed_upload_url"]
    job.upload("a", b"1")
    assert job.server.http.put(url.replace("/caches/", "/artifacts/"), content=b"x").status_code == 403


def test_the_least_used_caches_go_when_there_is_no_room(make_server: Servers) -> None:
    server = make_server()
    assert (
        server.api.patch("/projects/default", json={"settings": {"max_cache_bytes": 250}}).status_code == 200
    )
    job = Job(server, source={"kind": "git", "url": "u", "ref": "refs/heads/main"})
    for key in ("a", "b"):
        save(job, key, key.encode() * 100)
    assert look(job, "a") is not None
    save(job, "c", b"c" * 100)
    assert [row["key"] for row in server.api.get("/caches").json()["caches"]] == ["c", "a"]
    assert look(job, "b") is None
    url = job.cache("CreateCacheEntry", key="big", version=VERSION).json()["signed_upload_url"]
    assert server.http.put(url, content=b"x" * 251).status_code == 413
    files = [path for path in (server.data / "blobs" / "caches").rglob("*") if path.is_file()]
    assert sorted(path.stat().st_size for path in files) == [100, 100]
    job.end()


def test_people_list_and_delete_caches(on: Callable[..., Job], server: ServerProcess) -> None:
    job, key = on(), f"people-{uuid4()}"
    save(job, key, b"12345")
    (shown,) = server.api.get("/caches", params={"prefix": key}).json()["caches"]
    assert (shown["size_bytes"], shown["ref"]) == (5, "refs/heads/main")
    assert server.api.delete(f"/caches/{shown['id']}").status_code == 204
    assert server.api.delete(f"/caches/{shown['id']}").status_code == 404
    assert look(job, key) is None
    assert save(job, key, b"again").json()["ok"] is True


def test_the_first_protocol_reserves_takes_pieces_in_any_order_and_commits(on: Callable[..., Job]) -> None:
    job, key = on(), f"v1-{uuid4()}"
    http = httpx.Client(base_url=job.server.url + V1, headers=job.headers)
    keys = {"keys": f"{key}-other,{key}", "version": VERSION}
    assert http.get("/cache", params=keys).status_code == 204
    number = http.post("/caches", json={"key": key, "version": VERSION, "cacheSize": 9}).json()["cacheId"]
    assert on().post(f"{V1}/caches", {"key": key, "version": VERSION}).status_code == 409
    for start, piece in ((5, b"piece"), (0, b"first"), (5, b"piece")):
        span = {"Content-Range": f"bytes {start}-{start + 4}/*"}
        assert http.patch(f"/caches/{number}", content=piece, headers=span).status_code == 204
    assert http.post(f"/caches/{number}", json={"size": 11}).status_code == 422
    assert http.post(f"/caches/{number}", json={"size": 10}).status_code == 204
    found = http.get("/cache", params=keys).json()
    assert (found["cacheKey"], found["scope"]) == (key, "refs/heads/main")
    assert httpx.get(found["archiveLocation"]).content == b"firstpiece"
    http.close()


@pytest.mark.parametrize("span", ["", "bytes 5-4/*", "bytes 0-4", "bytes 0-99999999999999/*", "bytes -1-3/*"])
def test_a_piece_without_a_place_is_refused(on: Callable[..., Job], span: str) -> None:
    job = on()
    made = job.post(f"{V1}/caches", {"key": f"span-{uuid4()}", "version": VERSION}).json()
    url = f"{job.server.url}{V1}/caches/{made['cacheId']}"
    answer = httpx.patch(url, content=b"piece", headers={**job.headers, "Content-Range": span})
    assert answer.status_code in (400, 413)
    stolen = {**on().headers, "Content-Range": "bytes 0-4/*"}
    assert httpx.patch(url, content=b"piece", headers=stolen).status_code == 404
    gap = {**job.headers, "Content-Range": "bytes 3-7/*"}
    assert httpx.patch(url, content=b"piece", headers=gap).status_code == 204
    assert httpx.post(url, json={"size": 8}, headers=job.headers).status_code == 422
