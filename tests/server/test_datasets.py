"""Datasets: versions that never change, what is sent for them, who may do what, what is told of them; on both stores."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from server.dataset_words import Pusher, digest_of, file_of
from server.toolkit_job import Job
from server.vocabulary import ServerProcess, wait_for

Servers = Callable[..., ServerProcess]
_numbers = itertools.count()
WAITING = """\
on:
  dataset_version: {names: [%s], versions: ['[0-9]+']}
jobs:
  train:
    runs-on: nowhere
    steps:
      - run: echo ${{ github.event.version.ref }}
"""


@pytest.fixture
def dataset(server: ServerProcess) -> Pusher:
    return Pusher(server.api, f"images-{next(_numbers)}")


@pytest.fixture
def job(server: ServerProcess) -> Iterator[Job]:
    running = Job(server, f"worker-{next(_numbers)}")
    yield running
    running.end()


def as_job(job: Job) -> httpx.Client:
    return httpx.Client(base_url=f"{job.server.url}/api/v1", headers=job.headers, timeout=60)


def test_versions_are_numbered_and_found_by_number_tag_and_latest(dataset: Pusher) -> None:
    assert dataset.get().json()["latest"] is None
    assert dataset.get("/versions/latest").status_code == 404
    first = dataset.push({"a.txt": b"one"}, message="the first", metadata={"labels": 3}, tags=["best"])
    second = dataset.push({"a.txt": b"two", "b/c.txt": b"see"})
    assert (first["version"], second["version"]) == (1, 2)
    assert first["ref"] == f"{dataset.name}:1"
    assert (first["message"], first["metadata"], first["files"], first["size_bytes"]) == (
        *("the first", {"labels": 3}),
        *(1, 3),
    )
    assert [dataset.get(f"/versions/{name}").json()["version"] for name in ("1", "best", "latest")] == [
        1,
        1,
        2,
    ]
    assert dataset.get().json()["latest"]["version"] == 2
    assert dataset.read("2") == {"a.txt": b"two", "b/c.txt": b"see"}
    assert dataset.read("best") == {"a.txt": b"one"}
    for missing in ("3", "0", "worst", "1" * 30):
        assert dataset.get(f"/versions/{missing}").status_code == 404


def test_what_is_here_already_is_not_asked_for_again(dataset: Pusher) -> None:
    big = b"x" * 100_000
    dataset.push({"big": big, "small": b"1"})
    draft = dataset.begin()
    assert dataset.send_missing(draft, {"moved/big": big, "copy": big, "small": b"2"}) == [digest_of(b"2")]
    assert dataset.commit(draft).json()["size_bytes"] == 200_001
    other = Pusher(dataset.client, f"{dataset.name}-other")
    assert other.name_files(other.begin(), {"big": big}) == []


def test_a_push_that_was_broken_off_sends_only_the_rest(dataset: Pusher) -> None:
    files = {"a": b"first", "b": b"second"}
    draft = dataset.begin()
    dataset.name_files(draft, files)
    assert dataset.send(draft, b"first").status_code == 204
    assert dataset.name_files(dataset.begin(), files) == [digest_of(b"second")]


def test_an_incomplete_or_wrong_draft_is_seen_by_nobody(dataset: Pusher) -> None:
    draft = dataset.begin()
    dataset.name_files(draft, {"a": b"first", "b": b"second"})
    dataset.send(draft, b"first")
    early = dataset.commit(draft)
    assert early.status_code == 409
    assert "1 of 2 files have not arrived" in early.text
    assert dataset.send(draft, b"forged", digest_of(b"second")).status_code == 422
    assert dataset.send(draft, b"second and more", digest_of(b"second")).status_code == 413
    assert dataset.send(draft, b"never named").status_code == 404
    assert dataset.send(draft, b"second").status_code == 204
    assert dataset.commit(draft, digest=digest_of(b"")).status_code == 422
    assert dataset.get("/versions").json()["versions"] == []
    assert dataset.commit(draft).status_code == 201


def test_a_committed_version_never_changes(dataset: Pusher) -> None:
    draft = dataset.begin()
    dataset.send_missing(draft, {"a": b"first"})
    made = dataset.commit(draft)
    assert made.status_code == 201
    late = dataset.post(f"{draft}/files", {"files": [file_of("b", b"late")]})
    assert late.status_code == 409
    assert dataset.client.delete(draft).status_code == 204
    assert dataset.read("1") == {"a": b"first"}


def test_a_commit_that_is_sent_again_makes_one_version(dataset: Pusher) -> None:
    draft = dataset.begin()
    dataset.send_missing(draft, {"a": b"first"})
    answers = [dataset.commit(draft), dataset.commit(draft)]
    assert [answer.status_code for answer in answers] == [201, 200]
    again = dataset.begin()
    dataset.send_missing(again, {"a": b"first"})
    headers = {"Idempotency-Key": f"push-{dataset.name}"}
    keyed = [dataset.post(f"{again}/commit", {}, headers=headers) for _ in range(2)]
    assert [answer.json()["version"] for answer in answers + keyed] == [1, 1, 2, 2]
    assert len(dataset.get("/versions").json()["versions"]) == 2


def test_one_draft_committed_by_many_at_once_is_one_version(dataset: Pusher) -> None:
    draft = dataset.begin()
    dataset.send_missing(draft, {"a": b"first"})
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: dataset.commit(draft), range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert {answer.json()["version"] for answer in answers} == {1}


def test_many_drafts_at_once_get_numbers_of_their_own(dataset: Pusher) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda number: dataset.push({"a": b"%d" % number}), range(6)))
    assert sorted(version["version"] for version in made) == [1, 2, 3, 4, 5, 6]


def test_one_content_that_two_send_at_once_is_stored_once(server: ServerProcess, dataset: Pusher) -> None:
    content = b"shared by two" + dataset.name.encode()
    drafts = [dataset.begin(), dataset.begin()]
    for draft in drafts:
        assert dataset.name_files(draft, {"a": content}) == [digest_of(content)]
    together = threading.Barrier(2)

    def send(draft: str) -> int:
        together.wait()
        return dataset.send(draft, content).status_code

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(send, drafts)) == [204, 204]
    stored = list(server.data.glob(f"blobs/datasets/*/{digest_of(content)[7:]}-*"))
    assert len(stored) == 1
    assert dataset.commit(drafts[1]).status_code == 201
    assert dataset.read() == {"a": content}


def test_the_same_files_once_more_are_no_new_version_when_that_is_asked_for(dataset: Pusher) -> None:
    dataset.push({"a": b"first"})
    draft = dataset.begin()
    dataset.send_missing(draft, {"a": b"first"})
    same = dataset.commit(draft, unless_same=True, tags=["checked"])
    assert (same.status_code, same.json()["version"], same.json()["tags"]) == (200, 1, ["checked"])
    assert dataset.commit(draft).status_code == 404


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a/../x", "a//b", ".", "", "a\nb", "a/" * 600 + "b", "x" * 256, "a\u0000b"]
)
def test_paths_that_lead_elsewhere_are_refused(dataset: Pusher, path: str) -> None:
    answer = dataset.post(f"{dataset.begin()}/files", {"files": [file_of(path, b"")]})
    assert answer.status_code in (400, 422)


def test_what_is_no_tree_of_files_is_refused(dataset: Pusher) -> None:
    draft = dataset.begin()
    twice = dataset.post(f"{draft}/files", {"files": [file_of("a", b"1"), file_of("a", b"2")]})
    assert twice.status_code == 422
    lie = {**file_of("b", b"1"), "size_bytes": 7}
    assert dataset.post(f"{draft}/files", {"files": [file_of("a", b"1"), lie]}).status_code == 422
    dataset.send_missing(draft, {"a": b"1", "a/b": b"2"})
    below = dataset.commit(draft)
    assert below.status_code == 422
    assert "a file and a folder at once" in below.text


def test_names_are_checked_and_taken_once(dataset: Pusher) -> None:
    assert dataset.post("/datasets", {"name": dataset.name}).status_code == 409
    for name in ("A", "a/b", "../x", "", "a:b", "x" * 64):
        assert dataset.post("/datasets", {"name": name}).status_code in (400, 422)
    changed = dataset.client.patch(f"/datasets/{dataset.name}", json={"description": "street scenes"})
    assert changed.json()["description"] == "street scenes"


def test_lists_come_in_pages(server: ServerProcess) -> None:
    server.api.post("/projects", json={"name": "paged"})
    for name in ("a", "b", "c"):
        Pusher(server.api, name, project="paged")
    b = Pusher(server.api, "b", create=False, project="paged")
    for number in range(3):
        b.push({f"x/{one}": b"%d" % (one * number) for one in range(3)})

    def read_all(path: str, key: str) -> list[dict[str, object]]:
        found, cursor = [], ""
        while cursor is not None:
            page = server.api.get(path, params={"project": "paged", "limit": 2, "cursor": cursor}).json()
            assert len(page[key]) <= 2
            found += page[key]
            cursor = page["next"]
        return found

    assert [row["name"] for row in read_all("/datasets", "datasets")] == ["a", "b", "c"]
    assert [row["version"] for row in read_all("/datasets/b/versions", "versions")] == [3, 2, 1]
    files = read_all("/datasets/b/versions/latest/files", "files")
    assert [row["path"] for row in files] == ["x/0", "x/1", "x/2"]


def test_paths_are_in_the_order_of_their_bytes(dataset: Pusher) -> None:
    names = ["Z", "a", "a-b", "a/b", "ä", "é/x", "模型"]
    dataset.push({("a-c" if name == "a" else name): name.encode() for name in names})
    listed = [file["path"] for file in dataset.get("/versions/1/files").json()["files"]]
    assert listed == sorted(listed, key=str.encode)
    assert len(listed) == len(names)


def test_a_tag_is_on_one_version_of_a_dataset(server: ServerProcess, dataset: Pusher) -> None:
    dataset.push({"a": b"1"}, tags=["best"])
    dataset.push({"a": b"2"})
    path = f"/datasets/{dataset.name}/versions"
    assert server.api.put(f"{path}/2/tags/best").status_code == 200
    assert dataset.get("/versions/best").json()["version"] == 2
    assert server.api.get(f"{path}/1/tags").json()["tags"] == []
    (shown,) = server.api.get(f"{path}/2/tags").json()["tags"]
    assert (shown["tag"], shown["kind"], shown["actor"]) == ("best", "dataset_version", "admin")
    assert shown in server.api.get("/tags", params={"tag": "best"}).json()["tags"]
    for wrong in ("7", "latest", ".x"):
        assert server.api.put(f"{path}/2/tags/{wrong}").status_code == 422
    assert server.api.delete(f"{path}/2/tags/best").status_code == 204
    assert server.api.delete(f"{path}/2/tags/best").status_code == 404
    assert dataset.get("/versions/best").status_code == 404


def test_a_deleted_version_takes_what_only_it_had_and_its_number_is_not_given_again(
    server: ServerProcess, dataset: Pusher
) -> None:
    both, own = b"both" + dataset.name.encode(), b"own" + dataset.name.encode()
    dataset.push({"a": both})
    dataset.push({"a": both, "b": own})
    kept = set(server.data.glob("blobs/datasets/*/*"))
    assert server.api.delete(f"/datasets/{dataset.name}/versions/2").status_code == 204
    gone = kept - set(server.data.glob("blobs/datasets/*/*"))
    assert [path.name.partition("-")[0] for path in gone] == [digest_of(own)[7:]]
    assert dataset.read("latest") == {"a": both}
    assert dataset.push({"a": b"next"})["version"] == 3
    assert server.api.delete(f"/datasets/{dataset.name}").status_code == 204
    assert dataset.get().status_code == 404
    assert not list(server.data.glob(f"blobs/datasets/*/{digest_of(both)[7:]}-*"))


def test_a_project_has_so_much_room_for_datasets(server: ServerProcess) -> None:
    server.api.post("/projects", json={"name": "small", "settings": {"max_dataset_bytes": 10}})
    dataset = Pusher(server.api, "images", project="small")
    draft = dataset.begin()
    too_much = dataset.post(f"{draft}/files", {"files": [file_of("a", b"x" * 11)]})
    assert too_much.status_code == 413
    assert "have room for 10 bytes" in too_much.text
    for name, content in (("a", b"1234567"), ("b", b"abcdefg")):  # each fits by itself
        assert dataset.name_files(draft, {name: content})
    assert dataset.send(draft, b"1234567").status_code == 204
    assert dataset.send(draft, b"abcdefg").status_code == 413
    dataset.push({"a": b"1234567", "copy": b"1234567"})
    assert server.api.delete("/datasets/images?project=small").status_code == 204
    Pusher(server.api, "others", project="small").push({"a": b"0123456789"})


def test_a_version_has_so_many_files(make_server: Servers) -> None:
    server = make_server(limits={"dataset_files": 3})
    dataset = Pusher(server.api, "images")
    draft = dataset.begin()
    dataset.name_files(draft, {"a": b"", "b": b""})
    more = dataset.post(f"{draft}/files", {"files": [file_of("c", b""), file_of("d", b"")]})
    assert more.status_code == 413


def test_a_draft_is_its_makers_own(server: ServerProcess, dataset: Pusher) -> None:
    draft = dataset.begin()
    token = server.add_user(f"other-{next(_numbers)}", role="maintainer")
    with server.as_user(token) as client:
        other = Pusher(client, dataset.name, create=False)
        assert other.post(f"{draft}/files", {"files": [file_of("a", b"")]}).status_code == 404
        assert other.commit(draft).status_code == 404
    elsewhere = Pusher(server.api, f"{dataset.name}-elsewhere")
    assert server.api.post(
        f"/datasets/{elsewhere.name}/drafts/{draft.rpartition('/')[2]}/commit", json={}
    ).is_error


def test_a_viewer_reads_and_a_runner_writes(server: ServerProcess, dataset: Pusher) -> None:
    dataset.push({"a": b"1"})
    for role, expected in (("viewer", 403), ("runner", 201)):
        with server.as_user(server.add_user(f"{role}-{dataset.name}", role=role)) as client:
            other = Pusher(client, dataset.name, create=False)
            assert other.read() == {"a": b"1"}
            assert other.post(f"/datasets/{dataset.name}/drafts", {}).status_code == expected
            assert client.delete(f"/datasets/{dataset.name}/versions/1").status_code == 403


def test_what_a_job_reads_and_makes_is_its_runs_lineage(job: Job, dataset: Pusher) -> None:
    dataset.push({"a": b"raw"})
    with as_job(job) as client:
        source = Pusher(client, dataset.name, create=False)
        assert source.read("latest") == {"a": b"raw"}
        target = Pusher(client, f"{dataset.name}-clean")
        made = target.push({"a": b"clean"})
    assert (made["run"], made["job"], made["actor"]) == (job.run, job.assign.job, "admin")
    api = job.server.api
    uses = api.get(f"/runs/{job.run}/datasets").json()["datasets"]
    assert [(use["direction"], use["ref"]) for use in uses] == [
        ("read", f"{dataset.name}:1"),
        ("made", f"{dataset.name}-clean:1"),
    ]
    lineage = api.get(f"/datasets/{dataset.name}-clean/versions/1/lineage").json()
    assert [use["ref"] for use in lineage["inputs"]] == [f"{dataset.name}:1"]
    lineage = api.get(f"/datasets/{dataset.name}/versions/latest/lineage").json()
    assert lineage["inputs"] == []
    assert [(use["run"], use["job"]) for use in lineage["readers"]] == [(job.run, job.assign.job)]


def test_who_follows_a_run_sees_what_it_makes(server: ServerProcess, dataset: Pusher) -> None:
    job = Job(server, f"maker-{next(_numbers)}")
    with as_job(job) as client:
        Pusher(client, dataset.name, create=False).push({"a": b"1"})
    job.end()
    told = [data["ref"] for _, kind, data in server.events(f"/runs/{job.run}/events") if kind == "dataset"]
    assert told == [f"{dataset.name}:1"]


def test_readers_come_in_pages(server: ServerProcess, dataset: Pusher) -> None:
    dataset.push({"a": b"raw"})
    runs = []
    for _ in range(3):
        job = Job(server, f"reader-{next(_numbers)}")
        with as_job(job) as client:
            Pusher(client, dataset.name, create=False).read()
        runs.append(job.run)
        job.end()
    found, cursor = [], ""
    while cursor is not None:
        params = {"limit": 1, "cursor": cursor}
        page = server.api.get(f"/datasets/{dataset.name}/versions/1/lineage", params=params).json()
        found += [use["run"] for use in page["readers"]]
        cursor = page["next"]
    assert found == runs[::-1]


def test_a_job_has_no_datasets_but_its_own_projects(server: ServerProcess, job: Job) -> None:
    server.api.post("/projects", json={"name": "secret"})
    if server.api.get("/datasets/hidden?project=secret").status_code == 404:
        Pusher(server.api, "hidden", project="secret").push({"a": b"private"})
    with as_job(job) as client:
        for path in ("/datasets", "/datasets/hidden", "/datasets/hidden/versions/1/files"):
            assert client.get(path, params={"project": "secret"}).status_code == 404
        assert client.get("/datasets/hidden").status_code == 404
        assert client.post("/datasets", params={"project": "secret"}, json={"name": "x"}).status_code == 404
        for path in ("/datasets/hidden", "/datasets/hidden/versions/1"):
            assert client.delete(path).status_code == 401


def test_a_job_that_has_ended_reads_nothing_more(server: ServerProcess, dataset: Pusher) -> None:
    dataset.push({"a": b"1"})
    job = Job(server, f"ended-{next(_numbers)}")
    job.end()
    with as_job(job) as client:
        assert client.get(f"/datasets/{dataset.name}").status_code == 401


def test_a_new_version_starts_the_flows_that_wait_for_it(server: ServerProcess, dataset: Pusher) -> None:
    flow = f"on-{dataset.name}"
    stored = server.api.put(f"/flows/{flow}", json={"text": WAITING % dataset.name})
    assert stored.is_success, stored.text
    dataset.push({"a": b"1"}, tags=["best"])
    Pusher(server.api, f"{dataset.name}-other").push({"a": b"1"})

    def started() -> list[dict[str, object]]:
        runs = server.api.get("/runs", params={"limit": 200}).json()["runs"]
        return [run for run in runs if run["event"] == "dataset_version" and run["file"] == flow]

    wait_for(started, "the run that the version starts")
    assert len(started()) == 1
    server.api.delete(f"/flows/{flow}")


def test_the_audit_log_has_the_commit_and_not_each_file(server: ServerProcess, dataset: Pusher) -> None:
    dataset.push({"a": b"1", "b": b"2"}, tags=["best"])
    rows = server.api.get("/audit", params={"limit": 50}).json()["entries"]
    actions = [row["action"] for row in rows if f"/datasets/{dataset.name}" in row["target"]]
    assert actions == [
        "POST /api/v1/datasets/{name}/drafts/{draft:int}/commit",
        "POST /api/v1/datasets/{name}/drafts",
    ]
    assert rows[0]["detail"] == {"dataset": dataset.name, "version": 1, "tags": ["best"]}


def test_a_download_goes_on_where_it_broke_off(server: ServerProcess, dataset: Pusher) -> None:
    content = bytes(range(256)) * 100
    dataset.push({"a": content})
    url = f"/datasets/{dataset.name}/versions/1/contents/{digest_of(content)}"
    rest = server.api.get(url, headers={"Range": "bytes=20000-"})
    assert (rest.status_code, rest.content) == (206, content[20000:])
    assert rest.headers["content-range"] == f"bytes 20000-25599/{len(content)}"
    for ignored in ("bytes=99999-", "bytes=5-9", "lines=1-"):
        whole = server.api.get(url, headers={"Range": ignored})
        assert (whole.status_code, whole.content) == (200, content)
    assert server.api.get(url.replace("/1/", "/2/")).status_code == 404
    assert (
        server.api.get(f"/datasets/{dataset.name}/versions/1/contents/{digest_of(b'x')}").status_code == 404
    )


def test_drafts_of_several_datasets_become_versions_together_or_not_at_all(
    server: ServerProcess, dataset: Pusher
) -> None:
    other = Pusher(server.api, f"images-{next(_numbers)}")
    files = {"a.txt": f"together {dataset.name}".encode()}
    drafts = {pusher: pusher.begin() for pusher in (dataset, other)}
    dataset.send_missing(drafts[dataset], files)
    missing = {"b.txt": f"missing {other.name}".encode()}
    other.name_files(drafts[other], missing)
    body = {
        "drafts": [
            {"dataset": pusher.name, "draft": int(path.rpartition("/")[2]), "tags": ["best"]}
            for pusher, path in drafts.items()
        ]
    }
    refused = server.api.post("/dataset-drafts/commit", json=body)
    assert refused.status_code == 409
    assert dataset.get().json()["latest"] is None
    other.send_missing(drafts[other], missing)
    for _ in range(2):
        made = server.api.post("/dataset-drafts/commit", json=body)
        assert made.status_code == 200, made.text
        assert [(each["ref"], each["tags"]) for each in made.json()["versions"]] == [
            (f"{dataset.name}:1", ["best"]),
            (f"{other.name}:1", ["best"]),
        ]
    assert server.api.post("/dataset-drafts/commit", json={"drafts": []}).status_code in (400, 422)
