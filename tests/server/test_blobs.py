"""What a place for bulk bytes must do: files and a bucket alike."""

import fcntl
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from support.s3 import S3
from support.small_disk import small_disk, why_no_small_disks

from agent.errors import AgentError, DamagedError, NotFoundError, UnreachableError, UsageError
from agent.server.data.blobs.disk import DiskBlobStore
from agent.server.data.blobs.location import open_blobs
from agent.server.data.blobs.store import BlobStore, Written
from agent.server.process.problems import TooLargeError

pytestmark = pytest.mark.anyio
LIMIT = 64 << 20
LARGE = (20 << 20) + 17  # more than two parts of an upload to a bucket


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["disk", "file", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    urls = {"disk": lambda: "", "file": (tmp_path / "a b").as_uri}
    url = urls.get(request.param, lambda: request.getfixturevalue("s3").blobs_url())()
    return open_blobs(url, tmp_path / "blobs")


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(blobs: BlobStore, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in blobs.read(key, start, end)])


async def keys(blobs: BlobStore, prefix: str) -> list[str]:
    return sorted([found.key async for found in blobs.find(prefix)])


@pytest.mark.parametrize("size", [0, 1, 5_120_000, 8 << 20, LARGE])
async def test_bytes_come_back_with_their_size_and_digest(blobs: BlobStore, size: int) -> None:
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    written = await blobs.write("a/b", pieces(content[:100], content[100:]), limit_bytes=LIMIT)
    assert written == Written(len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")
    assert await read(blobs, "a/b") == content
    assert await blobs.size("a/b") == len(content)


async def test_a_write_that_fails_leaves_what_was_there(blobs: BlobStore) -> None:
    await blobs.write("key", pieces(b"old"), limit_bytes=LIMIT)
    with pytest.raises(TooLargeError):
        await blobs.write("key", pieces(b"x" * 11), limit_bytes=10)
    for content in (b"new", b"n" * LARGE):
        with pytest.raises(DamagedError):
            await blobs.write("key", pieces(content), limit_bytes=LIMIT, digest="sha256:" + "0" * 64)
    for half in (b"half", b"h" * LARGE):
        with pytest.raises(RuntimeError):
            await blobs.write("key", broken(half), limit_bytes=LIMIT)
    assert await read(blobs, "key") == b"old"
    assert await keys(blobs, "key") == []


async def broken(half: bytes) -> AsyncIterator[bytes]:
    yield half
    raise RuntimeError("the connection broke")


async def test_parts_are_joined_in_the_order_that_is_asked_for(blobs: BlobStore) -> None:
    for name in ("1", "2"):
        await blobs.write(f"parts/{name}", pieces(name.encode()), limit_bytes=LIMIT)
    written = await blobs.join("whole", ["parts/2", "parts/1", "parts/2"], limit_bytes=LIMIT)
    assert written.size_bytes == 3
    assert await read(blobs, "whole") == b"212"
    with pytest.raises(NotFoundError):
        await blobs.join("whole", ["parts/3"], limit_bytes=LIMIT)
    with pytest.raises(TooLargeError):
        await blobs.join("whole", ["parts/1", "parts/2"], limit_bytes=1)
    assert await read(blobs, "whole") == b"212"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 3, b"012"), (3, None, b"3456789"), (2, 2, b""), (9, 100, b"9"), (4, 6, b"45")],
)
async def test_a_range_is_read_alone(blobs: BlobStore, start: int, end: int | None, expected: bytes) -> None:
    await blobs.write("digits", pieces(b"0123456789"), limit_bytes=LIMIT)
    assert await read(blobs, "digits", start, end) == expected


async def test_what_is_not_there_has_no_size_and_can_not_be_read(blobs: BlobStore) -> None:
    assert await blobs.size("nothing") is None
    with pytest.raises(NotFoundError):
        await read(blobs, "nothing")
    await blobs.remove("nothing")
    assert await keys(blobs, "nothing") == []


async def test_removing_a_prefix_removes_what_is_below(blobs: BlobStore) -> None:
    for key in ("parts/1/a", "parts/1/b", "parts/10/a"):
        await blobs.write(key, pieces(b"x"), limit_bytes=LIMIT)
    assert await keys(blobs, "parts") == ["parts/1/a", "parts/1/b", "parts/10/a"]
    assert [found.size_bytes async for found in blobs.find("parts/1")] == [1, 1]
    await blobs.remove("parts/1")
    assert await keys(blobs, "parts") == ["parts/10/a"]
    await blobs.remove("parts/10/a")
    assert await keys(blobs, "parts") == []


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a//b", "a/../b", ".new/x", "", "a\0b"])
async def test_a_key_that_we_did_not_make_is_a_bug_of_ours(blobs: BlobStore, key: str) -> None:
    with pytest.raises(ValueError, match="not a key of ours"):
        await blobs.write(key, pieces(b"x"), limit_bytes=LIMIT)


async def test_a_bucket_hands_its_bytes_out_itself_and_files_do_not(s3: S3, tmp_path: Path) -> None:
    headers = {"Content-Type": "text/plain", "Content-Disposition": 'attachment; filename="a.txt"'}
    bucket = open_blobs(s3.blobs_url(), tmp_path)
    await bucket.write("a", pieces(b"hello"), limit_bytes=LIMIT, headers=headers)
    url = await bucket.direct_url("a", 60)
    assert url is not None
    answer = httpx.get(url)
    assert (answer.text, answer.headers["content-type"]) == ("hello", "text/plain")
    assert answer.headers["content-disposition"] == headers["Content-Disposition"]
    assert await open_blobs(s3.blobs_url("&direct=no"), tmp_path).direct_url("a", 60) is None
    assert await open_blobs("", tmp_path).direct_url("a", 60) is None


async def test_uploads_that_were_given_up_leave_no_parts_in_the_bucket(s3: S3, tmp_path: Path) -> None:
    url = s3.blobs_url()
    with pytest.raises(RuntimeError):
        await open_blobs(url, tmp_path).write("a", broken(b"h" * LARGE), limit_bytes=LIMIT)
    bucket = url.removeprefix("s3://").partition("/")[0]
    assert "<Upload>" not in httpx.get(f"{s3.endpoint}/{bucket}?uploads").text


async def test_a_bucket_that_is_not_there_is_told_with_what_to_do(s3: S3, tmp_path: Path) -> None:
    blobs = open_blobs(f"s3://no-such-bucket?endpoint={s3.endpoint}", tmp_path)
    with pytest.raises(UnreachableError, match="--blobs-url") as told:
        await blobs.write("a", pieces(b"x"), limit_bytes=LIMIT)
    assert "\n" not in str(told.value)


async def test_a_new_store_on_the_same_folder_leaves_the_drafts_that_are_being_written(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "blobs" / ".new"
    folder.mkdir(parents=True)
    (folder / "left").write_bytes(b"torn")
    with (folder / "held").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        DiskBlobStore(tmp_path / "blobs")
        assert [path.name for path in folder.iterdir()] == ["held"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x",
        "file://host/x",
        "file:x",
        "s3://",
        "s3://key:secret@bucket",
        "s3://bucket?endpiont=x",
        "s3://bucket?direct=maybe",
    ],
)
def test_a_url_that_names_no_place_is_refused_without_its_secrets(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as told:
        open_blobs(url, tmp_path)
    assert "secret" not in str(told.value)


@pytest.mark.skipif(bool(why_no_small_disks()), reason=why_no_small_disks())
@pytest.mark.parametrize("size", [10, 1 << 20])  # what waits for the end of the file, and what does not
async def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, size: int) -> None:
    with small_disk(tmp_path / "small", 4 << 20) as disk:
        blobs = open_blobs("", tmp_path / "small" / "blobs")
        await blobs.write("a/b", pieces(b"x"), limit_bytes=LIMIT)
        disk.fill()
        with pytest.raises(AgentError, match=r"the server can't store this: No space left on device"):
            await blobs.write("a/c", pieces(b"x" * size), limit_bytes=LIMIT)
        disk.relieve()
        assert [found.key async for found in blobs.find("a")] == ["a/b"]
        assert not list((tmp_path / "small" / "blobs").glob("new/*"))
