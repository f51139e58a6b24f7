"""Tags, artifacts that people upload, and what goes when it is too old: its rows, its bytes, and nothing else."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from server.dataset_words import Pusher, file_of
from server.toolkit_job import Job, finished_run
from server.vocabulary import PATIENCE_SECONDS, ServerProcess

Servers = Callable[..., ServerProcess]
DAY = 86_400.0


def kinds(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return sorted(item["kind"] for item in answer.json()["items"])


def blobs(server: ServerProcess, shelf: str) -> int:
    return sum(path.is_file() for path in (server.data / "blobs" / shelf).rglob("*"))


def test_people_add_replace_and_delete_artifacts(server: ServerProcess) -> None:
    run = server.submit()
    path = f"/runs/{run}/artifacts/report.html"
    headers = {"Content-Type": "text/html"}
    made = server.api.put(path, content=b"<script>", headers=headers)
    assert made.status_code == 201
    assert made.json()["digest"] == f"sha256:{hashlib.sha256(b'<script>').hexdigest()}"
    assert server.api.put(path, content=b"other").status_code == 409
    wrong = server.api.put(f"{path}?overwrite=true&digest=sha256:{'0' * 64}", content=b"other")
    assert wrong.status_code == 422
    number = made.json()["id"]
    down = server.api.get(f"/artifacts/{number}/download")
    assert down.content == b"<script>"
    assert "sandbox" in down.headers["content-security-policy"]
    assert down.headers["content-disposition"].startswith("attachment;")
    new = server.api.put(f"{path}?overwrite=true", content=b"other").json()["id"]
    assert server.api.get(f"/artifacts/{number}/download").status_code == 404
    assert server.api.get(f"/artifacts/{new}/download").content == b"other"
    assert server.api.put(f"/runs/{run}/artifacts/a%5Cb", content=b"x").status_code == 422
    assert server.api.delete(f"/artifacts/{new}").status_code == 204
    assert server.api.get(f"/runs/{run}/artifacts").json()["artifacts"] == []


def test_a_project_has_so_much_room_for_artifacts(make_server: Servers) -> None:
    server = make_server()
    server.sql("UPDATE projects SET settings = '{\"max_artifact_bytes\": 10}'")
    run = server.submit()
    assert server.api.put(f"/runs/{run}/artifacts/a", content=b"x" * 11).status_code == 413
    assert server.api.put(f"/runs/{run}/artifacts/a", content=b"x" * 10).status_code == 201
    full = server.api.put(f"/runs/{run}/artifacts/b", content=b"x")
    assert full.status_code == 413
    assert "insufficient usage" in full.text


def test_two_uploads_at_once_have_the_room_of_one(make_server: Servers) -> None:
    server = make_server()
    server.sql('UPDATE projects SET settings = \'{"max_artifact_bytes": 10, "max_snapshot_bytes": 10}\'')
    run = server.submit()
    digests = [f"sha256:{hashlib.sha256(letter.encode() * 8).hexdigest()}" for letter in "ab"]
    for paths in (
        [f"/runs/{run}/artifacts/{letter}" for letter in "ab"],
        [f"/snapshots/{one}" for one in digests],
    ):
        is_sent = threading.Barrier(2)

        def put(path: str, letter: str, is_sent: threading.Barrier = is_sent) -> int:
            def halves() -> Iterator[bytes]:
                yield letter.encode() * 4
                is_sent.wait(PATIENCE_SECONDS)
                yield letter.encode() * 4

            return server.api.put(path, content=halves()).status_code

        with ThreadPoolExecutor(2) as threads:
            assert sorted(threads.map(put, paths, "ab")) == [201, 413], paths


def test_tags_are_put_on_listed_and_taken_off(server: ServerProcess) -> None:
    run = server.submit()
    number = server.api.put(f"/runs/{run}/artifacts/model", content=b"x").json()["id"]
    for _ in range(2):
        assert server.api.put(f"/artifacts/{number}/tags/best").status_code == 200
    assert server.api.put(f"/runs/{run}/tags/best").status_code == 200
    shown = server.api.get("/tags", params={"tag": "best"}).json()["tags"]
    assert {(tag["kind"], tag["id"]) for tag in shown} >= {("artifact", number), ("run", run)}
    assert [tag["tag"] for tag in server.api.get(f"/artifacts/{number}/tags").json()["tags"]] == ["best"]
    for bad in (".x", "a b", "x" * 129, "%3Cb%3E"):
        assert server.api.put(f"/runs/{run}/tags/{bad}").status_code == 422
    assert server.api.delete(f"/runs/{run}/tags/best").status_code == 204
    assert server.api.delete(f"/runs/{run}/tags/best").status_code == 404
    assert server.api.put("/artifacts/999999/tags/best").status_code == 404


def test_nothing_goes_before_its_time_and_a_dry_run_changes_nothing(make_server: Servers) -> None:
    server = make_server()
    finished_run(server)
    assert kinds(server.api.get("/retention")) == []
    server.sql("UPDATE artifacts SET created_at = created_at - ?", 91 * DAY)
    for _ in range(2):
        assert kinds(server.api.get("/retention")) == ["artifact"]
    assert blobs(server, "artifacts") == 1
    assert kinds(server.api.post("/retention")) == ["artifact"]
    assert blobs(server, "artifacts") == 0
    assert kinds(server.api.post("/retention")) == []


def test_an_artifact_goes_when_its_own_time_is_over_but_not_while_its_run_goes_on(
    make_server: Servers,
) -> None:
    server = make_server()
    job = Job(server)
    job.upload("early", b"x", expires_at="2020-01-01T00:00:00Z")
    assert kinds(server.api.post("/retention")) == []
    assert (job.names(), blobs(server, "artifacts")) == ([], 1)  # nobody sees it, and it is there
    job.end()
    assert kinds(server.api.post("/retention")) == ["artifact"]


def test_an_old_run_goes_with_all_that_is_its_own(make_server: Servers) -> None:
    server = make_server()
    old, new = finished_run(server, "a"), finished_run(server, "b")
    server.sql("UPDATE projects SET settings = '{\"keep_runs_days\": 30}'")
    server.sql("UPDATE runs SET finished_at = finished_at - ? WHERE id = ?", 31 * DAY, old)
    assert kinds(server.api.post("/retention")) == []  # its log is still to be archived
    server.archive_journals()
    assert server.sql("SELECT state FROM archives") == [("done",), ("done",)]
    assert kinds(server.api.post("/retention")) == ["run"]
    assert server.api.get(f"/runs/{old}").status_code == 404
    assert server.run(new)["conclusion"] == "success"
    assert (blobs(server, "artifacts"), blobs(server, "logs")) == (1, 1)
    assert server.sql("SELECT count(*) FROM tags") == [(0,)]
    assert server.api.get(f"/jobs/{server.job(new)['id']}/log").text == "hello\n"


def test_a_tag_on_a_run_or_on_an_artifact_keeps_both_until_it_is_taken_off(make_server: Servers) -> None:
    server = make_server()
    runs = [finished_run(server, name) for name in ("a", "b", "c")]
    server.archive_journals()
    numbers = [server.api.get(f"/runs/{run}/artifacts").json()["artifacts"][0]["id"] for run in runs]
    server.api.put(f"/runs/{runs[0]}/tags/best")
    server.api.put(f"/artifacts/{numbers[1]}/tags/best")
    server.sql('UPDATE projects SET settings = \'{"keep_runs_days": 30, "keep_artifacts_days": 20}\'')
    server.sql("UPDATE runs SET finished_at = finished_at - ?", 31 * DAY)
    server.sql("UPDATE artifacts SET created_at = created_at - ?", 31 * DAY)
    server.api.post("/retention")
    assert [server.api.get(f"/runs/{run}").status_code for run in runs] == [200, 200, 404]
    assert [server.api.get(f"/artifacts/{number}/download").status_code for number in numbers] == [
        200,
        200,
        404,
    ]
    for path in (f"/runs/{runs[0]}", f"/artifacts/{numbers[1]}"):
        assert server.api.delete(f"{path}/tags/best").status_code == 204
    server.api.post("/retention")
    assert [server.api.get(f"/runs/{run}").status_code for run in runs] == [404, 404, 404]


def test_a_volume_goes_a_week_after_its_run_whatever_tag_that_has(make_server: Servers) -> None:
    server = make_server()
    job = Job(server)
    for kind in ("volume", "artifact"):
        job.keep(f"w.{kind}", kind.encode(), kind=kind)
    job.end()
    server.api.put(f"/runs/{job.run}/tags/best")
    assert kinds(server.api.post("/retention")) == []
    server.sql("UPDATE runs SET finished_at = finished_at - ?", 8 * DAY)
    (gone,) = server.api.post("/retention").json()["items"]
    assert gone["name"] == f"w.volume of run {job.run}"


def test_caches_snapshots_and_leftovers_go_and_what_is_named_stays(make_server: Servers) -> None:
    server = make_server()
    job = Job(server)
    for key in ("used", "unused"):
        made = job.cache("CreateCacheEntry", key=key, version="a" * 64).json()
        server.http.put(made["signed_upload_url"], content=b"x")
        job.cache("FinalizeCacheEntryUpload", key=key, version="a" * 64, size_bytes="1")
    server.sql("UPDATE caches SET used_at = 1 WHERE key = 'unused'")
    for content in (b"kept", b"unused"):
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert server.api.put(f"/snapshots/{digest}", content=content).status_code == 201
        if content == b"kept":
            server.submit(source={"kind": "snapshot", "digest": digest})
    server.sql("UPDATE snapshots SET created_at = 1")
    for leftover in ("artifacts/9/abc", "parts/caches/77/abc", "logs/job-1/ab"):
        file = server.data / "blobs" / leftover
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"left")
    assert kinds(server.api.get("/retention")) == ["cache", "snapshot"]  # what was written today stays
    for path in (server.data / "blobs").rglob("*"):
        if path.is_file():
            os.utime(path, (1, 1))
    assert kinds(server.api.post("/retention")) == ["cache", "leftover", "leftover", "leftover", "snapshot"]
    assert (blobs(server, "caches"), blobs(server, "snapshots"), blobs(server, "parts")) == (1, 1, 0)
    job.end()


def test_the_oldest_logs_go_when_there_is_no_room(make_server: Servers) -> None:
    server = make_server()
    runs = [finished_run(server, name) for name in ("a", "b", "c")]
    server.archive_journals()
    sizes: dict[str, int] = dict(server.sql("SELECT job, size_bytes FROM archives WHERE state = 'done'"))
    assert len(sizes) == 3
    room = sum(sizes.values()) - 1
    assert (
        server.api.patch("/projects/default", json={"settings": {"max_log_bytes": room}}).status_code == 200
    )
    (gone,) = server.api.post("/retention").json()["items"]
    oldest = server.job(runs[0])["id"]
    assert (gone["kind"], gone["size_bytes"]) == ("log", sizes[oldest])
    assert server.sql("SELECT job FROM archives WHERE state = 'gone'") == [(oldest,)]
    assert server.api.get(f"/jobs/{server.job(runs[1])['id']}/log").text == "hello\n"
    assert kinds(server.api.post("/retention")) == []


def test_only_an_admin_of_the_organisation_lets_things_go(server: ServerProcess) -> None:
    assert server.http.post("/api/v1/retention").status_code == 401


def test_old_versions_go_but_the_newest_the_tagged_and_those_in_use(make_server: Servers) -> None:
    server = make_server()
    dataset = Pusher(server.api, "images")
    for number in range(4):
        dataset.push({"same": b"same", "own": b"own %d" % number}, tags=["best"] if number == 1 else [])
    job = Job(server)
    with server.as_user(job.token) as client:
        Pusher(client, "images", create=False).read("3")
    half = dataset.begin()
    dataset.name_files(half, {"a": b"never sent", "own": b"own 0"})
    server.sql("UPDATE dataset_versions SET committed_at = committed_at - ?", 31 * DAY)
    assert kinds(server.api.get("/retention")) == []  # kept for ever, unless somebody says otherwise
    server.sql("UPDATE projects SET settings = '{\"keep_datasets_days\": 30}'")
    assert [item["name"] for item in server.api.get("/retention").json()["items"]] == ["images:1"]
    server.sql("UPDATE dataset_versions SET created_at = created_at - ?", 8 * DAY)
    shown = [server.api.get("/retention").json()["items"] for _ in range(2)]
    assert shown[0] == shown[1]
    assert [item["name"] for item in shown[0]] == ["images:1", "draft 5 of images", "1 of datasets"]
    assert [item["size_bytes"] for item in shown[0]] == [0, 0, 5]
    assert server.api.post("/retention").json()["items"] == shown[0]
    assert [row["version"] for row in dataset.get("/versions").json()["versions"]] == [4, 3, 2]
    assert dataset.read("2") == {"same": b"same", "own": b"own 1"}
    assert blobs(server, "datasets") == 4
    assert dataset.commit(half).status_code == 404
    job.end()


def test_contents_that_a_draft_has_named_meanwhile_stay(make_server: Servers) -> None:
    server = make_server()
    dataset = Pusher(server.api, "images")
    dataset.push({"a": b"again"})
    server.sql("DELETE FROM dataset_files")
    assert kinds(server.api.get("/retention")) == ["contents"]
    draft = dataset.begin()
    assert dataset.name_files(draft, {"b": b"again"}) == []
    assert kinds(server.api.post("/retention")) == []
    assert dataset.commit(draft).status_code == 201
    assert dataset.read() == {"b": b"again"}


def test_the_lineage_of_a_run_outlives_it(make_server: Servers) -> None:
    server = make_server()
    Pusher(server.api, "images").push({"a": b"1"})
    job = Job(server)
    with server.as_user(job.token) as client:
        Pusher(client, "images", create=False).read()
    job.end()
    server.sql("UPDATE projects SET settings = '{\"keep_runs_days\": 30}'")
    server.sql("UPDATE runs SET finished_at = finished_at - ?", 31 * DAY)
    server.sql("UPDATE archives SET due_at = NULL")
    assert kinds(server.api.post("/retention")) == ["run"]
    assert server.api.get(f"/runs/{job.run}").status_code == 404
    (reader,) = server.api.get("/datasets/images/versions/1/lineage").json()["readers"]
    assert reader["run"] == job.run


def test_a_run_that_is_not_trusted_reads_datasets_and_writes_none(make_server: Servers) -> None:
    server = make_server()
    dataset = Pusher(server.api, "images")
    dataset.push({"a": b"1"})
    job = Job(server)
    with server.as_user(job.token) as client:
        theirs = Pusher(client, "images", create=False)
        draft = theirs.begin()
        server.sql(
            'INSERT INTO origins (run, start, flow, "commit", is_trusted, depth)'
            " VALUES (?, 'x', 'f', 'c', FALSE, 0)",
            job.run,
        )
        assert theirs.read() == {"a": b"1"}
        for path, body in (
            ("/datasets", {"name": "new"}),
            ("/datasets/images/drafts", {}),
            (f"{draft}/files", {"files": [file_of("a", b"forged")]}),
            (f"{draft}/commit", {}),
        ):
            refused = theirs.post(path, body)
            assert refused.status_code == 403, path
            assert "not trusted" in refused.text
        assert theirs.send(draft, b"forged").status_code == 403
    job.end()
    assert len(dataset.get("/versions").json()["versions"]) == 1
