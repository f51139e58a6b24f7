"""The engine itself: what its protocol promises, and that nobody loads it who does not need it."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.docker import BUSYBOX, leftovers
from support.lab import wait_for

from agent.containers import docker
from agent.containers.attach import open_unix_socket
from agent.containers.blueprint import Blueprint
from agent.containers.docker import DockerEngine
from agent.containers.docker_client import connect_builder, connect_client
from agent.containers.engine import ImageError
from agent.containers.ownership import give_ownership
from agent.errors import AgentError, UnreachableError, UsageError

NAME = f"flow_engine_test_{os.getpid()}"
LABELS = {"flow-agent.job": NAME, "flow-agent.root": "/none"}


@pytest.fixture
def with_engine(engine_address: str) -> Callable[[Callable[[DockerEngine], Awaitable[Any]]], Any]:
    def do(work: Callable[[DockerEngine], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            engine = await DockerEngine.connect(engine_address)
            try:
                return await work(engine)
            finally:
                await engine.sweep(LABELS)
                await engine.close()

        return asyncio.run(run())

    return do


def test_output_comes_whole_and_in_order(with_engine: Any) -> None:
    chunks: list[bytes] = []

    async def work(engine: DockerEngine) -> int:
        blueprint = Blueprint(
            BUSYBOX, labels=LABELS, command=["sh", "-c", "seq 200000; echo end >&2; exit 7"]
        )
        return await engine.run(await engine.create(NAME, blueprint), chunks.append)

    assert with_engine(work) == 7
    output = b"".join(chunks)
    assert output.count(b"end\n") == 1  # the engine brings the two streams each on its own: it may come early
    assert output.replace(b"end\n", b"").split() == [str(number).encode() for number in range(1, 200001)]


def test_a_cancelled_creation_is_known_to_have_happened(with_engine: Any, engine_address: str) -> None:
    async def work(engine: DockerEngine) -> None:
        for _ in range(20):
            task = asyncio.ensure_future(engine.create_network(NAME, LABELS))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            await engine.sweep(LABELS)
            assert leftovers(engine_address, LABELS) == []

    with_engine(work)


def test_a_container_of_an_unknown_image_is_not_made(with_engine: Any) -> None:
    async def work(engine: DockerEngine) -> None:
        with pytest.raises(ImageError):
            await engine.create(NAME, Blueprint("flow-test/none:1", labels=LABELS))

    with_engine(work)


def test_kills_for_memory_are_counted_also_of_a_container_that_ended_well(with_engine: Any) -> None:
    async def work(engine: DockerEngine) -> tuple[int, int]:
        eat = ["sh", "-c", "tail /dev/zero; exit 0"]
        blueprint = Blueprint(BUSYBOX, labels=LABELS, command=eat, host_config={"Memory": 32 << 20})
        container = await engine.create(NAME, blueprint)
        code = await engine.run(container, lambda _: None)
        return code, await engine.count_memory_kills(container)

    code, kills = with_engine(work)
    assert code == 0
    assert kills > 0


def test_removing_what_is_gone_is_no_error(with_engine: Any) -> None:
    async def work(engine: DockerEngine) -> None:
        await engine.remove("flow_no_such_container")
        await engine.signal("flow_no_such_container", 9)
        assert await engine.sweep(LABELS) == 0

    with_engine(work)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_files_of_roots_are_given_back_without_following_links(with_engine: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "job"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").touch(mode=0o600)
    (folder / "link").symlink_to(outside)
    with_engine(lambda engine: give_ownership(engine, folder, 1234, 1235, LABELS))
    for path in (folder / "deep", folder / "deep" / "file", folder / "link"):
        assert (path.lstat().st_uid, path.lstat().st_gid) == (1234, 1235)
    assert outside.stat().st_uid == 0


@pytest.mark.parametrize("address", ["ssh://host", "http://x", "/var/run/docker.sock", "tcp://"])
def test_an_engine_elsewhere_is_refused(address: str) -> None:
    with pytest.raises(UsageError):
        asyncio.run(DockerEngine.connect(address))


def test_an_engine_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError) as error:
        asyncio.run(DockerEngine.connect(f"unix://{tmp_path}/none"))
    assert "Docker" in error.value.hint


@contextlib.contextmanager
def listener(path: Path, *, answer: bytes) -> Iterator[str]:
    """Somebody at a socket who gives this answer to whatever is asked, and keeps the connection; nobody, with no answer."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        if not answer:
            yield f"unix://{path}"
            return
        listening.listen()

        def give() -> None:
            with listening.accept()[0] as connection:
                connection.recv(1 << 16)
                connection.sendall(answer)
                connection.recv(1 << 16)  # until it is hung up

        giving = threading.Thread(target=give)
        giving.start()
        yield f"unix://{path}"
        giving.join()


def http(status: str, body: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode()


def open_sockets() -> set[str]:
    links = (str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.is_symlink())
    return {link for link in links if link.startswith("socket:")}


@pytest.mark.parametrize("is_handed", [False, True], ids=["own", "handed"])
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "Connection refused"),
        (http("500 Oops", '{"message": "no disk"}'), "no disk"),
        (http("200 OK", "[]"), "its answer names no version"),
        (http("200 OK", "{}"), "its answer names no version"),
        (b"nonsense\r\n\r\n", "nonsense"),
    ],
    ids=["nobody", "broken", "list", "no version", "nonsense"],
)
def test_an_engine_that_gives_no_sensible_answer_is_unreachable_and_leaves_no_connection_open(
    tmp_path: Path, answer: bytes, why: str, is_handed: bool
) -> None:
    with listener(tmp_path / "engine", answer=answer) as address:
        reach = partial(open_unix_socket, address.removeprefix("unix://")) if is_handed else None
        before = open_sockets()
        with pytest.raises(UnreachableError, match="the container engine does not answer") as error:
            connect_client(address, reach)
        # While the error, and what hangs on it, is still there; the listener's own end goes as soon as it sees that.
        wait_for(lambda: open_sockets() == before, "all connections to be closed")
        assert why in str(error.value)
        assert error.value.where == address


@pytest.mark.parametrize("is_handed", [False, True], ids=["own", "handed"])
def test_an_engine_that_was_let_go_has_no_connection_open(engine_address: str, is_handed: bool) -> None:
    reach = partial(open_unix_socket, engine_address.removeprefix("unix://")) if is_handed else None
    before = open_sockets()
    with contextlib.closing(connect_client(engine_address, reach)) as client:
        client.ping()
        with contextlib.closing(connect_builder(client, engine_address, reach)) as builder:
            builder.ping()
    assert open_sockets() == before


def test_neither_the_supervisor_nor_the_agent_loads_the_client() -> None:
    code = (
        "import sys; import agent.job.launch.warming, agent.job.handlers.docker, agent.job.containers.lifecycle, agent.daemon.daemon;"
        "agent.job.launch.warming.warm_up(); agent.job.launch.warming.warm_up_actions(); print([name for name in sys.modules if name in ('docker', 'requests')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("is_buildkit", [True, False])
def test_either_builder_builds_says_what_it_does_and_names_nothing_that_failed(
    with_engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_buildkit: bool
) -> None:
    if not is_buildkit:
        monkeypatch.setattr(
            docker, "connect_builder", lambda _client, address, _reach: connect_client(address)
        )
    (tmp_path / "Dockerfile").write_text("FROM nobody/none:1\n")
    (tmp_path / "file").write_text("from the folder\n")
    tag = f"flow-test/built:{'buildkit' if is_buildkit else 'classic'}-{os.getpid()}"

    async def work(engine: DockerEngine) -> tuple[list[str], bool]:
        said: list[str] = []
        text = f"FROM {BUSYBOX}\nCOPY file /\nRUN cat /file && echo {tag}\n"
        await engine.build(tmp_path / "Dockerfile", tag, said.append, text=text)
        is_there = await engine.find_image(tag) is not None
        broken = f"FROM {BUSYBOX}\nRUN exit 3\n"
        with pytest.raises(AgentError):
            await engine.build(tmp_path / "Dockerfile", f"{tag}-broken", said.append, text=broken)
        return said, is_there and await engine.find_image(f"{tag}-broken") is None

    said, is_right = with_engine(work)
    assert is_right
    assert {"from the folder", tag} <= set(said), said
    assert any("COPY file /" in line for line in said), said


class WithoutSession:
    """An engine's client, whose BuildKit wants a session."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.params = {"version": "2"}

    def build(self, **options: Any) -> Any:
        return (
            [{"error": "failed to solve: no active sessions"}]
            if self.params
            else self._client.build(**options)
        )

    def close(self) -> None:
        self._client.close()


def test_the_classic_builder_builds_where_buildkit_wants_a_session(
    with_engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        docker, "connect_builder", lambda _client, address, _reach: WithoutSession(connect_client(address))
    )
    (tmp_path / "Dockerfile").write_text(f"FROM {BUSYBOX}\nRUN echo built after all\n")
    said: list[str] = []
    with_engine(
        lambda engine: engine.build(tmp_path / "Dockerfile", f"flow-test/classic:{os.getpid()}", said.append)
    )
    assert "the classic builder is tried" in said[0]
    assert "built after all" in said
