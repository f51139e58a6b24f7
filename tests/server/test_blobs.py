"""What a place for bulk bytes must do; obstore's will have to pass the same."""

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent.errors import DamagedError, NotFoundError
from agent.server.blobs.disk import DiskBlobStore
from agent.server.blobs.store import BlobStore, Written
from agent.server.problems import TooLargeError

pytestmark = pytest.mark.anyio
LIMIT = 10 << 20


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=[DiskBlobStore])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    make: Callable[[Path], BlobStore] = request.param
    return make(tmp_path / "blobs")


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(store: BlobStore, key: str) -> bytes:
    return b"".join([chunk async for chunk in store.read(key)])


async def test_bytes_come_back_with_their_size_and_digest(store: BlobStore) -> None:
    content = bytes(range(256)) * 20_000
    written = await store.write("a/b", pieces(content[:100], content[100:]), limit_bytes=LIMIT)
    assert written == Written(len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")
    assert await read(store, "a/b") == content
    assert await store.size("a/b") == len(content)


async def test_a_write_that_fails_leaves_what_was_there(store: BlobStore) -> None:
    await store.write("key", pieces(b"old"), limit_bytes=LIMIT)
    with pytest.raises(TooLargeError):
        await store.write("key", pieces(b"x" * 11), limit_bytes=10)
    with pytest.raises(DamagedError):
        await store.write("key", pieces(b"new"), limit_bytes=LIMIT, digest="sha256:" + "0" * 64)
    with pytest.raises(RuntimeError):
        await store.write("key", broken(), limit_bytes=LIMIT)
    assert await read(store, "key") == b"old"


async def broken() -> AsyncIterator[bytes]:
    yield b"half"
    raise RuntimeError("the connection broke")


async def test_parts_are_joined_in_the_order_that_is_asked_for(store: BlobStore) -> None:
    for name in ("1", "2"):
        await store.write(f"parts/{name}", pieces(name.encode()), limit_bytes=LIMIT)
    written = await store.join("whole", ["parts/2", "parts/1", "parts/2"], limit_bytes=LIMIT)
    assert written.size_bytes == 3
    assert await read(store, "whole") == b"212"
    with pytest.raises(NotFoundError):
        await store.join("whole", ["parts/3"], limit_bytes=LIMIT)
    with pytest.raises(TooLargeError):
        await store.join("whole", ["parts/1", "parts/2"], limit_bytes=1)
    assert await read(store, "whole") == b"212"


async def test_what_is_not_there_has_no_size_and_can_not_be_read(store: BlobStore) -> None:
    assert await store.size("nothing") is None
    with pytest.raises(NotFoundError):
        await read(store, "nothing")
    await store.remove("nothing")


async def test_removing_a_prefix_removes_what_is_below(store: BlobStore) -> None:
    for key in ("parts/1/a", "parts/1/b", "parts/10/a"):
        await store.write(key, pieces(b"x"), limit_bytes=LIMIT)
    await store.remove("parts/1")
    assert await store.size("parts/1/a") is None
    assert await store.size("parts/10/a") == 1


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a//b", "a/../b", ".new/x", "", "a\0b"])
async def test_a_key_that_we_did_not_make_is_a_bug_of_ours(store: BlobStore, key: str) -> None:
    with pytest.raises(ValueError, match="not a key of ours"):
        await store.write(key, pieces(b"x"), limit_bytes=LIMIT)
