"""Artifacts as GitHub's clients make them, and as an attacker would."""

import hashlib
import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

import httpx
import pytest
from server.toolkit_job import Job, block_list, block_url, peak_memory_bytes
from server.vocabulary import ONE_JOB, ServerProcess, journal, wait_for
from support.s3 import S3

from agent.spec.outcome import Conclusion

Servers = Callable[..., ServerProcess]
LARGE_MIB = int(os.environ.get("FLOW_LARGE_UPLOAD_MIB", "0"))


@pytest.fixture(scope="module")
def server(blob_server: ServerProcess) -> ServerProcess:
    """A server whose blobs are files, and one whose blobs lie in a bucket."""
    return blob_server


@pytest.fixture
def job(server: ServerProcess, request: pytest.FixtureRequest) -> Iterator[Job]:
    running = Job(server, f"{request.node.name[:40]}-{uuid4()}")
    yield running
    running.end()


def test_an_artifact_goes_up_and_comes_down_whole(server: ServerProcess, job: Job) -> None:
    content = b"PK" + bytes(range(256)) * 5000
    number = job.upload("model", content)
    assert job.names() == ["model"]
    url = job.call("GetSignedArtifactURL", name="model").json()["signed_url"]
    down = httpx.get(url)
    assert down.content == content
    assert down.headers["content-type"] == "application/zip"
    assert down.headers["content-disposition"].startswith('attachment; filename="model.zip"')
    assert down.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in down.headers["content-security-policy"]
    shown = server.api.get(f"/runs/{job.run}/artifacts").json()["artifacts"]
    assert [(entry["name"], entry["size_bytes"]) for entry in shown] == [("model", len(content))]
    assert server.api.get(f"/artifacts/{number}/download").content == content


def test_blocks_come_in_any_order_and_more_than_once(server: ServerProcess, job: Job) -> None:
    url = job.create("blocks")
    for number, content in ((2, b"third"), (0, b"wrong"), (1, b"second-"), (0, b"first-")):
        answer = server.http.put(block_url(url, number), content=content)
        assert answer.status_code == 201
        assert answer.headers["x-ms-request-id"]
    answer = server.http.put(f"{url}&comp=blocklist", content=block_list(0, 1, 2))
    assert answer.status_code == 201
    assert answer.headers["etag"]
    digest = f"sha256:{hashlib.sha256(b'first-second-third').hexdigest()}"
    answer = job.call("FinalizeArtifact", name="blocks", size="18", hash=digest)
    assert answer.json()["ok"] is True
    signed = job.call("GetSignedArtifactURL", name="blocks").json()["signed_url"]
    assert httpx.get(signed).content == b"first-second-third"


def test_as_many_blocks_as_a_file_of_3_gib_has_come_at_once_and_are_one_artifact(
    server: ServerProcess, job: Job
) -> None:
    url, count = job.create("model"), 3072 // 8
    contents = {number: random.randbytes(number % 7 * 1000 + 1) for number in range(count)}
    order = random.sample(range(count), count)

    def send(number: int) -> int:
        return server.http.put(block_url(url, number), content=contents[number]).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, order)) == {201}
    assert server.http.put(f"{url}&comp=blocklist", content=block_list(*range(count))).status_code == 201
    whole = b"".join(contents[number] for number in range(count))
    digest = f"sha256:{hashlib.sha256(whole).hexdigest()}"
    answer = job.call("FinalizeArtifact", name="model", size=str(len(whole)), hash=digest)
    assert answer.status_code == 200, answer.text
    assert job.fetch("model").content == whole


def test_an_empty_artifact_is_a_block_list_without_blocks(server: ServerProcess, job: Job) -> None:
    url = job.create("empty")
    assert server.http.put(f"{url}&comp=blocklist", content=block_list()).status_code == 201
    assert job.call("FinalizeArtifact", name="empty", size="0").status_code == 200
    signed = job.call("GetSignedArtifactURL", name="empty").json()["signed_url"]
    assert httpx.get(signed).content == b""


def test_camel_case_fields_are_understood_too(job: Job) -> None:
    url = job.call("CreateArtifact", workflowRunBackendId=str(job.run), name="camel", mimeType="text/plain")
    assert url.status_code == 200
    job.call("DeleteArtifact", name="camel")


def test_a_half_upload_is_seen_by_nobody(server: ServerProcess, job: Job) -> None:
    url = job.create("half")
    server.http.put(block_url(url, 0), content=b"half")
    assert job.names() == []
    assert job.call("GetSignedArtifactURL", name="half").json()["code"] == "not_found"
    assert server.api.get(f"/runs/{job.run}/artifacts").json()["artifacts"] == []
    answer = job.call("FinalizeArtifact", name="half", size="4")
    assert "have not arrived" in answer.json()["msg"]


def test_finalize_compares_size_and_hash(server: ServerProcess, job: Job) -> None:
    url = job.create("checked")
    server.http.put(url, content=b"content", headers={"x-ms-blob-type": "BlockBlob"})
    assert "7 bytes here, not 8" in job.call("FinalizeArtifact", name="checked", size="8").json()["msg"]
    wrong = job.call("FinalizeArtifact", name="checked", size="7", hash="sha256:" + "0" * 64)
    assert wrong.status_code == 400
    assert job.names() == []


def test_a_second_artifact_of_the_same_name_already_exists(job: Job) -> None:
    job.upload("twice", b"1")
    answer = job.call("CreateArtifact", name="twice")
    assert (answer.status_code, answer.json()["code"]) == (409, "already_exists")
    assert job.call("DeleteArtifact", name="twice").json()["ok"] is True
    job.upload("twice", b"2")


def test_a_job_that_asks_again_because_the_answer_was_lost_goes_on_with_the_same_artifact(job: Job) -> None:
    job.create("asked twice")
    answer = job.call("CreateArtifact", name="asked twice")
    assert answer.status_code == 200, answer.text
    assert answer.json()["signed_upload_url"]


@pytest.mark.parametrize("again", ["retry", "rerun"])
def test_an_artifact_of_an_earlier_try_of_the_job_makes_room_and_no_other_does(
    server: ServerProcess, again: str
) -> None:
    retry = "    retry: {max: 1, backoff: {seconds: 0}}\n" if again == "retry" else ""
    job = Job(server, f"{again}-{uuid4()}", text=ONE_JOB.replace("    steps:\n", f"{retry}    steps:\n"))
    job.upload("model", b"first")
    job.agent.finish(job.assign, journal(job.assign, conclusion=Conclusion.FAILURE))
    if again == "rerun":
        assert server.api.post(f"/runs/{job.run}/rerun", json={"failed": True}).status_code == 201
    job.assign = job.agent.take()
    job.token = job.agent.open(job.assign, "ACTIONS_RUNTIME_TOKEN")
    number = job.upload("model", b"second")
    assert job.names() == ["model"]
    assert server.api.get(f"/artifacts/{number}/download").content == b"second"
    assert job.call("CreateArtifact", name="model").status_code == 409
    job.end()


def test_an_artifact_that_was_made_under_an_older_lease_makes_room(server: ServerProcess, job: Job) -> None:
    """By an agent that began before its acceptance was heard: it spoke an older protocol."""
    job.upload("model", b"first")
    server.sql("UPDATE leases SET offered_at = offered_at + 60 WHERE job = ?", job.assign.job)
    assert job.call("CreateArtifact", name="model").status_code == 200


def test_a_finished_artifact_cannot_be_changed_with_its_old_url(server: ServerProcess, job: Job) -> None:
    url = job.create("fixed")
    server.http.put(url, content=b"good")
    job.call("FinalizeArtifact", name="fixed", size="4")
    assert server.http.put(url, content=b"evil").status_code == 409
    assert server.http.put(block_url(url, 0), content=b"evil").status_code == 409
    assert httpx.get(job.call("GetSignedArtifactURL", name="fixed").json()["signed_url"]).content == b"good"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        ".",
        "a/b",
        "a\\b",
        "../../etc/passwd",
        "a:b",
        "a\nb",
        "a\0b",
        "C:\\x",
        'a"b',
        "x" * 256,
        "\x1b[0m",
        "model\u202egnp.exe",
        "a\u2066b",
        "a\u200fb",
        "a\u2028b",
        "a\x85b",
        "a\u200bb",
    ],
)
def test_names_that_could_be_paths_are_refused(job: Job, name: str) -> None:
    answer = job.call("CreateArtifact", name=name)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
    assert job.names() == []


def test_a_name_of_another_script_is_fine(job: Job) -> None:
    number = job.upload("Modell-größe-模型", b"x")
    down = job.server.api.get(f"/artifacts/{number}/download")
    assert (
        "filename*=UTF-8''Modell-gr%C3%B6%C3%9Fe-%E6%A8%A1%E5%9E%8B.zip"
        in down.headers["content-disposition"]
    )


def test_a_page_that_was_uploaded_is_served_as_a_file_that_runs_nothing(job: Job) -> None:
    number = job.upload("page.html", b"<script>alert(1)</script>", mime_type="text/html")
    down = job.server.api.get(f"/artifacts/{number}/download")
    assert down.headers["content-disposition"].startswith("attachment;")
    assert down.headers["content-security-policy"] == "default-src 'none'; sandbox"


def test_a_strange_media_type_becomes_bytes(job: Job) -> None:
    number = job.upload("odd", b"x", mime_type="text/html\r\nX-Evil: 1")
    assert (
        job.server.api.get(f"/artifacts/{number}/download").headers["content-type"]
        == "application/octet-stream"
    )


def test_a_run_sees_no_other_runs_artifacts(server: ServerProcess, job: Job) -> None:
    job.upload("mine", b"private")
    other = Job(server, f"other-{job.run}")
    assert other.names() == []
    assert other.call("GetSignedArtifactURL", name="mine").json()["code"] == "not_found"
    for method in ("CreateArtifact", "ListArtifacts", "GetSignedArtifactURL", "DeleteArtifact"):
        answer = other.call(method, name="mine", workflow_run_backend_id=str(job.run))
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
    other.end()
    assert job.names() == ["mine"]


def resign(url: str, path: str | None = None, **changes: str | None) -> str:
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query)), **changes}
    kept = {name: value for name, value in query.items() if value is not None}
    return parts._replace(path=path or parts.path, query=urlencode(kept)).geturl()


def test_a_tree_that_is_kept_again_takes_its_place_at_once_and_only_when_it_is_whole(
    server: ServerProcess, job: Job
) -> None:
    first = job.keep("w.log", b"one")
    assert job.fetch("w.log").content == b"one"
    second = job.keep("w.log", b"two", finalizes=False)
    assert job.names() == ["w.log"]
    assert job.fetch("w.log").content == b"one"
    for _ in range(2):  # asked again by who had no answer
        done = job.call("FinalizeArtifact", name="w.log", artifact_id=second, size="3")
        assert done.status_code == 200
    assert (job.names(), job.fetch("w.log").content) == (["w.log"], b"two")
    assert server.api.get(f"/artifacts/{first}/download").status_code == 404
    wrong = job.keep("w.log", b"three", finalizes=False)
    assert job.call("FinalizeArtifact", name="w.log", artifact_id=wrong, size="4").status_code == 400
    assert job.fetch("w.log").content == b"two"


def test_a_job_takes_no_name_from_what_it_has_not_kept_itself(job: Job) -> None:
    job.upload("taken", b"x")
    kept = {"kind": "artifact", "label": "x", "path": "x"}
    assert job.call("CreateArtifact", name="taken", version=4, kept=kept).status_code == 409
    for wrong in ({"kind": "secret"}, {"kind": "artifact", "label": "x\u202e", "path": "x"}, 5):
        assert job.call("CreateArtifact", name="n", version=4, kept=wrong).status_code == 400


def test_a_job_fetches_of_other_runs_only_what_was_brought_to_it(server: ServerProcess, job: Job) -> None:
    number = job.keep("w.m", b"secret")
    other = Job(server, "other-worker")
    assert other.fetch("w.m", artifact_id=number).status_code == 404
    assert other.call("FinalizeArtifact", name="w.m", artifact_id=number, size="6").status_code == 404
    other.end()


def test_an_edited_signature_opens_nothing(server: ServerProcess, job: Job) -> None:
    first, second = job.upload("first", b"1"), job.upload("second", b"2")
    url = job.call("GetSignedArtifactURL", name="first").json()["signed_url"]
    query = dict(parse_qsl(urlsplit(url).query))
    other_path = urlsplit(url).path.replace(f"/{first}/", f"/{second}/")
    for bad in (
        resign(url, sig="0" * 64),
        resign(url, sig=query["sig"].upper()),
        resign(url, sig=None),
        resign(url, sig=""),
        resign(url, se=None),
        resign(url, se=str(int(query["se"]) + 1)),
        resign(url, se="9" * 40),
        resign(url, se="-1"),
        resign(url, se="1e9"),
        resign(url, se=query["se"] + " "),
        resign(url, path=other_path),
        url + f"&sig={query['sig']}",
        url + f"&se={query['se']}",
        url.replace("/content", "/content/"),
        url.replace("/content", "//content"),
        url.replace("/content", ";x/content"),
    ):
        assert httpx.get(bad).status_code in (403, 404), bad
    assert httpx.get(url).content == b"1"


def test_a_download_url_uploads_nothing_and_the_other_way_round(server: ServerProcess, job: Job) -> None:
    upload = job.create("one-way")
    assert httpx.get(upload).status_code == 403
    server.http.put(upload, content=b"x")
    job.call("FinalizeArtifact", name="one-way", size="1")
    download = job.call("GetSignedArtifactURL", name="one-way").json()["signed_url"]
    assert server.http.put(download, content=b"y").status_code == 403


@pytest.mark.parametrize(
    "query",
    ["comp=block", "comp=block&blockid=", "comp=block&blockid=YQ&blockid=Yg", "comp=a&comp=b", "comp=lease"],
)
def test_upload_requests_that_make_no_sense_are_refused(server: ServerProcess, job: Job, query: str) -> None:
    url = job.create(f"senseless-{len(query)}")
    assert server.http.put(f"{url}&{query}", content=b"x").status_code == 400


def test_block_ids_are_never_paths(server: ServerProcess, job: Job) -> None:
    url = job.create("sneaky")
    server.http.put(f"{url}&{urlencode({'comp': 'block', 'blockid': '../../../master.key'})}", content=b"x")
    names = {path.name for path in server.data.rglob("*")}
    assert (server.data / "master.key").stat().st_size > 1
    assert "master.key" in names
    missing = block_list(7).replace("block", "block")
    assert server.http.put(f"{url}&comp=blocklist", content=missing).status_code == 422


def test_a_block_list_that_is_an_xml_bomb_is_just_a_list_without_blocks(
    server: ServerProcess, job: Job
) -> None:
    url = job.create("bomb")
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><BlockList>&b;</BlockList>'
    assert server.http.put(f"{url}&comp=blocklist", content=bomb).status_code == 201
    job.call("DeleteArtifact", name="bomb")


def test_uploads_have_a_limit_and_leave_nothing_behind(make_server: Servers) -> None:
    server = make_server(limits={"artifact_bytes": 1000})
    job = Job(server)
    url = job.create("big")
    assert server.http.put(url, content=b"x" * 1001).status_code == 413
    blocks = [server.http.put(block_url(url, number), content=b"x" * 600) for number in range(2)]
    assert [answer.status_code for answer in blocks] == [201, 413]
    assert server.http.put(f"{url}&comp=blocklist", content=block_list(0, 1)).status_code == 422
    assert job.names() == []
    assert list((server.data / "blobs" / ".new").iterdir()) == []


def test_downloads_come_from_the_bucket_itself_where_it_can_be_reached(make_server: Servers, s3: S3) -> None:
    server = make_server(blobs_url=s3.blobs_url())
    job = Job(server)
    url = job.create("page.html", mime_type="text/html")
    server.http.put(block_url(url, 0), content=b"<html>")
    server.http.put(f"{url}&comp=blocklist", content=block_list(0))
    number = job.call("FinalizeArtifact", name="page.html", size="6").json()["artifact_id"]
    signed = job.call("GetSignedArtifactURL", name="page.html").json()["signed_url"]
    redirect = server.api.get(f"/artifacts/{number}/download")
    assert redirect.status_code == 302
    for there in (signed, redirect.headers["location"]):
        assert there.startswith(s3.endpoint)
        assert "X-Amz-Signature" in there
        down = httpx.get(there)
        assert (down.text, down.headers["content-type"]) == ("<html>", "text/html")
        assert down.headers["content-disposition"].startswith("attachment;")


# What an upload may store before it is whole


@pytest.fixture
def small(make_server: Servers) -> Job:
    """A job in a project with room for 1,000 bytes of artifacts, and for 1,000 of caches."""
    server = make_server()
    server.sql('UPDATE projects SET settings = \'{"max_artifact_bytes": 1000, "max_cache_bytes": 1000}\'')
    return Job(server)


def stored_bytes(job: Job) -> int:
    """What lies on the disk of the job's server, of uploads."""
    folder = job.server.data / "blobs"
    places = [folder / "parts", folder / "artifacts", folder / "caches"]
    return sum(file.stat().st_size for place in places for file in place.rglob("*") if file.is_file())


def test_blocks_count_against_the_quota_when_they_are_written(small: Job) -> None:
    put, before = small.server.http.put, stored_bytes(small)
    first, second = small.create("first"), small.create("second")
    assert put(block_url(first, 0), content=b"x" * 600).status_code == 201
    assert put(block_url(first, 0), content=b"y" * 400).status_code == 201, "the same block again counts once"
    assert put(block_url(second, 0), content=b"x" * 600).status_code == 201
    for number in range(1, 20):
        answer = put(block_url(second, number), content=b"x" * 600)
        assert answer.status_code == 413
        assert "insufficient usage" in answer.text
    late = small.create("late")
    assert put(block_url(late, 0), content=b"x").status_code == 413, "what others of the project have counts"
    assert stored_bytes(small) - before <= 1000
    assert put(first, content=b"x" * 600).status_code == 413
    small.call("DeleteArtifact", name="second")
    assert put(f"{first}&comp=blocklist", content=block_list(0)).status_code == 201
    assert small.call("FinalizeArtifact", name="first", size="400").status_code == 200
    third = small.create("third")
    assert put(block_url(third, 0), content=b"x" * 600).status_code == 201, "joined blocks count once"


def test_what_comes_in_one_piece_counts_while_it_comes(small: Job) -> None:
    small.server.sql("UPDATE projects SET settings = '{\"max_artifact_bytes\": 20000000}'")
    half, answered = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        for _ in range(12):
            yield b"x" * 1_000_000
        half.set()
        assert answered.wait(60)
        yield b"x" * 1_000_000

    first, second = small.create("first"), small.create("second")
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(small.server.http.put, first, content=slowly())
        assert half.wait(60)
        counted = "SELECT max(size_bytes) FROM artifacts"
        wait_for(lambda: small.server.sql(counted)[0][0] >= 8_000_000, "what has come to count")
        assert small.server.http.put(second, content=b"x" * 15_000_000).status_code == 413
        answered.set()
        assert slow.result(60).status_code == 201


def test_of_two_that_come_at_once_one_is_refused_where_both_have_no_room(small: Job) -> None:
    begun = threading.Barrier(2)

    def one() -> Iterator[bytes]:
        yield b"x"
        begun.wait(60)
        yield b"x" * 599

    urls = [small.create("first"), small.create("second")]
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda url: small.server.http.put(url, content=one()).status_code, urls))
    assert sorted(answers) == [201, 413]


def test_a_block_list_writes_no_more_than_was_sent(make_server: Servers) -> None:
    job = Job(make_server())
    url, put = job.create("bomb of blocks"), job.server.http.put
    assert put(block_url(url, 0), content=b"x" * 100_000).status_code == 201
    before = stored_bytes(job)
    assert put(f"{url}&comp=blocklist", content=block_list(*[0] * 100)).status_code == 422
    assert stored_bytes(job) == before
    for _ in range(2):  # the answer to the first may have been lost
        assert put(f"{url}&comp=blocklist", content=block_list(0)).status_code == 201
    assert stored_bytes(job) == before, "joined blocks are not kept a second time"
    assert put(block_url(url, 1), content=b"x").status_code == 409
    assert job.call("FinalizeArtifact", name="bomb of blocks", size="100000").status_code == 200


def test_after_its_jobs_end_an_upload_takes_nothing_and_is_swept(small: Job) -> None:
    server = small.server
    url = small.create("late")
    reserved = small.cache("CreateCacheEntry", key="late", version="v").json()["signed_upload_url"]
    for mine in (url, reserved):
        assert server.http.put(block_url(mine, 0), content=b"x" * 100).status_code == 201
    assert stored_bytes(small) == 200
    small.end()
    for mine in (url, reserved):
        for late in (block_url(mine, 1), mine, f"{mine}&comp=blocklist"):
            answer = server.http.put(late, content=b"x" * 100)
            assert answer.status_code == 409, late
            assert "has ended" in answer.text
    assert stored_bytes(small) == 200
    server.api.post("/retention", json={})
    assert stored_bytes(small) == 0


def test_blocks_of_caches_have_the_projects_room_too(small: Job) -> None:
    urls = [small.cache("CreateCacheEntry", key=key, version="v").json()["signed_upload_url"] for key in "ab"]
    answers = [small.server.http.put(block_url(url, n), content=b"x" * 300) for n in range(3) for url in urls]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 413, 413, 413]
    assert stored_bytes(small) == 900


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("place", ["disk", *(["s3"] if LARGE_MIB else [])])
def test_a_large_artifact_does_not_fit_into_the_servers_memory_and_need_not(
    make_server: Servers, place: str, request: pytest.FixtureRequest
) -> None:
    """FLOW_LARGE_UPLOAD_MIB=10240 does it with 10 GiB, and as well with a bucket."""
    blobs_url = request.getfixturevalue("s3").blobs_url("&direct=no") if place == "s3" else ""
    mebibytes = LARGE_MIB or 192
    server = make_server(blobs_url=blobs_url)
    job = Job(server)
    url = job.create("large")
    before = peak_memory_bytes(server)
    sent = (bytes(1 << 20) for _ in range(mebibytes))
    headers = {"x-ms-blob-type": "BlockBlob"}
    assert server.http.put(url, content=sent, headers=headers, timeout=600).status_code == 201
    assert job.call("FinalizeArtifact", name="large", size=str(mebibytes << 20)).status_code == 200
    signed = job.call("GetSignedArtifactURL", name="large").json()["signed_url"]
    with httpx.stream("GET", signed, timeout=600) as down:
        assert sum(len(chunk) for chunk in down.iter_raw(1 << 20)) == mebibytes << 20
    assert peak_memory_bytes(server) - before < min(mebibytes << 19, 128 << 20)


def test_kill_9_in_an_upload_leaves_no_half_artifact(make_server: Servers) -> None:
    server = make_server()
    job = Job(server)
    url = job.create("broken")
    server.http.put(block_url(url, 0), content=b"first half")
    server.kill()
    (server.data / "blobs" / ".new" / "draft").write_bytes(b"torn")
    server.start()
    url = url.replace(urlsplit(url).netloc, urlsplit(server.url).netloc)
    job.server = server
    assert job.names() == []
    assert list((server.data / "blobs" / ".new").iterdir()) == []
    server.http.put(block_url(url, 1), content=b", second half")
    server.http.put(f"{url}&comp=blocklist", content=block_list(0, 1))
    assert job.call("FinalizeArtifact", name="broken", size="23").status_code == 200
    assert job.names() == ["broken"]
