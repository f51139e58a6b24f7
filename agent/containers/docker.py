"""The Docker engine, by way of docker-py (`agent.containers.docker_client`).

docker-py blocks, so its calls are made in threads of our own. A call once made is waited for, also when its task is
cancelled: what it makes must be known to be there, or not, before anybody cleans up.
"""

import asyncio
import contextlib
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from agent.containers.attach import OutputStream, Reach, check_address, check_connection
from agent.containers.blueprint import Blueprint
from agent.containers.build_progress import BuildProgress
from agent.containers.conversation import DockerConversation
from agent.containers.docker_client import (
    connect_builder,
    connect_client,
    count_oom_events,
    describe_failure,
    read_env,
    split_tag,
    translated,
)
from agent.containers.engine import (
    ContainerFacts,
    Credentials,
    EngineError,
    ImageError,
    ImageFacts,
    Say,
    Sink,
)
from agent.containers.gpu_devices import wants_cdi
from agent.containers.progress import PullProgress

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
_EMPTY_IMAGE = "flow-agent/empty:1"
_NO_SESSION = "no active session"  # BuildKit's words: it needs a login, or a secret
_THREADS = 16
_POLL_SECONDS = (0.005, 0.25)  # the first pause between two looks, and the longest


class DockerEngine:
    """An `Engine` (agent.containers.engine) at `address`."""

    def __init__(self, client: Any, address: str, reach: Reach | None = None) -> None:
        self._client = client
        self._address = address
        self._reach = reach
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")

    @classmethod
    async def connect(
        cls, address: str = "", reach: Reach | None = None, logins: Mapping[str, Any] | None = None
    ) -> "DockerEngine":
        """The engine at `address` (default: Docker's usual socket). Raises UnreachableError when there is none.

        `reach` gives connections to it, where this process may not open them; `logins` is what takes the place of this
        user's `docker login`.
        """
        address = check_address(address or DEFAULT_ADDRESS)
        await check_connection(address, reach)
        loop = asyncio.get_running_loop()
        client = await loop.run_in_executor(None, connect_client, address, reach, logins)
        return cls(client, address, reach)

    async def close(self) -> None:
        """Let go of the engine."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    async def find_image(self, image: str) -> ImageFacts | None:
        """See Engine."""
        try:
            found = await self._call(self._client.inspect_image, image)
        except ImageError:
            return None
        digests = found.get("RepoDigests") or [""]
        return ImageFacts(found["Id"], digests[0], read_env(found))

    async def pull(self, image: str, credentials: Credentials | None, say: Say) -> None:
        """See Engine."""
        own = {"username": credentials.username, "password": credentials.password} if credentials else None
        name, tag = split_tag(image)
        events = partial(self._client.pull, name, tag=tag, auth_config=own, stream=True, decode=True)
        await self._follow(events, PullProgress(say).take)

    async def look_up(self, image: str) -> str:
        """See Engine."""
        found = await self._call(self._client.inspect_distribution, image)
        return str(found["Descriptor"]["digest"])

    async def build(self, dockerfile: Path, tag: str, say: Say, *, text: str | None = None) -> None:
        """See Engine."""
        with contextlib.ExitStack() as stack:
            file = Path(dockerfile.name)
            if text is not None:  # lies elsewhere: it takes the place of the one in the folder
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="flow-dockerfile-"))
                file = Path(folder, "Dockerfile")
                file.write_text(text, encoding="utf-8", errors="surrogateescape")
            builder = await self._call(connect_builder, self._client, self._address, self._reach)
            stack.callback(builder.close)
            events = partial(
                builder.build,
                path=str(dockerfile.parent),
                dockerfile=str(file),
                tag=tag,
                rm=True,
                forcerm=True,
                decode=True,
                gzip=True,  # BuildKit takes a tar of docker-py's kind for a Dockerfile, unless it is compressed
            )
            try:
                await self._follow(events, BuildProgress(say).take)
            except EngineError as error:
                if not (builder.params and _NO_SESSION in error.what):
                    raise
                say(
                    f"##[warning]BuildKit wants what only a session can give ({error.what}); the classic builder is tried"
                )
                builder.params = {}
                await self._follow(events, BuildProgress(say).take)

    async def empty_image(self) -> str:
        """See Engine."""
        if await self.find_image(_EMPTY_IMAGE) is None:
            name, tag = split_tag(_EMPTY_IMAGE)
            archive = bytes(tarfile.BLOCKSIZE * 2)
            await self._call(self._client.import_image_from_data, archive, repository=name, tag=tag)
        return _EMPTY_IMAGE

    async def create_network(self, name: str, labels: Mapping[str, str]) -> str:
        """See Engine."""
        made = await self._call(
            self._client.create_network, name, driver="bridge", labels=dict(labels), check_duplicate=True
        )
        return str(made["Id"])

    async def find_gateway(self, network: str) -> tuple[str, str]:
        """See Engine."""
        found = await self._call(self._client.inspect_network, network)
        for one in (found.get("IPAM") or {}).get("Config") or []:
            gateway, subnet = one.get("Gateway") or "", one.get("Subnet") or ""
            if gateway and subnet and ":" not in gateway:
                return str(gateway).partition("/")[0], str(subnet)
        return "", ""

    async def create(self, name: str, blueprint: Blueprint) -> str:
        """See Engine."""
        if blueprint.gpus:
            blueprint.has_cdi_gpus = wants_cdi(await self._call(self._client.info))
        made = await self._call(self._client.create_container_from_config, blueprint.to_json(), name)
        return str(made["Id"])

    async def start(self, container: str) -> None:
        """See Engine."""
        await self._call(self._client.start, container)

    async def run(self, container: str, sink: Sink) -> int:
        """See Engine."""
        stream = await self._open(f"/containers/{container}/attach?stream=1&stdout=1&stderr=1")
        try:
            await self.start(container)
            await stream.read(sink)
            await self.wait(container)  # it may have closed its output before its end
        finally:
            stream.close()
        return (await self.inspect(container)).exit_code

    async def execute(
        self, container: str, arguments: Sequence[str], *, env: Mapping[str, str], cwd: str, sink: Sink
    ) -> int:
        """See Engine."""
        made = await self._call(
            self._client.exec_create,
            container,
            list(arguments),
            environment=dict(env),
            workdir=cwd or None,
        )
        stream = await self._open(f"/exec/{made['Id']}/start", {"Detach": False, "Tty": False})
        try:
            await stream.read(sink)
        finally:
            stream.close()
        return await self._exit_code(made["Id"])

    async def converse(
        self,
        container: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        window: tuple[int, int] | None,
    ) -> DockerConversation:
        """See Engine."""
        is_terminal = window is not None
        made = await self._call(
            self._client.exec_create,
            container,
            list(arguments),
            environment=dict(env),
            workdir=cwd or None,
            stdin=True,
            tty=is_terminal,
        )
        stream = await self._open(f"/exec/{made['Id']}/start", {"Detach": False, "Tty": is_terminal})
        resize = partial(self._call, self._client.exec_resize, made["Id"])
        conversation = DockerConversation(
            stream, resize, partial(self._exit_code, made["Id"]), is_terminal=is_terminal
        )
        if window is not None and all(window):
            await conversation.resize(*window)
        return conversation

    async def attach(self, container: str) -> DockerConversation:
        """See Engine."""
        stream = await self._open(f"/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1")
        try:
            await self.start(container)
        except BaseException:
            stream.close()
            raise
        resize = partial(self._call, self._client.resize, container)
        return DockerConversation(
            stream, resize, partial(self._container_exit_code, container), is_terminal=False
        )

    async def _container_exit_code(self, container: str) -> int:
        await self.wait(container)
        return (await self.inspect(container)).exit_code

    async def _exit_code(self, program: str) -> int:
        ended = await self._call(self._client.exec_inspect, program)
        return int(ended["ExitCode"] if ended["ExitCode"] is not None else 255)

    async def inspect(self, container: str) -> ContainerFacts:
        """See Engine."""
        found = await self._call(self._client.inspect_container, container)
        state = found["State"]
        ports = found["NetworkSettings"].get("Ports") or {}
        return ContainerFacts(
            is_running=bool(state["Running"]),
            exit_code=int(state["ExitCode"]),
            health=str((state.get("Health") or {}).get("Status") or "").replace("none", ""),
            ports={port.removesuffix("/tcp"): bound[0]["HostPort"] for port, bound in ports.items() if bound},
            env=read_env(found),
            pid=int(state.get("Pid") or 0),
        )

    async def count_memory_kills(
        self, container: str, *, known: int = 0, patience_seconds: float = 0.0
    ) -> int:
        """See Engine. `State.OOMKilled` is set when a container ends, whoever was killed; until then events tell."""
        until = f"{time.time() + patience_seconds:.9f}"
        count = await self._call(count_oom_events, self._client, container, until=until, known=known)
        if count:
            return int(count)
        found = await self._call(self._client.inspect_container, container)
        return int(bool(found["State"].get("OOMKilled")))

    async def wait(self, container: str) -> None:
        """See Engine."""
        pause, longest = _POLL_SECONDS
        with contextlib.suppress(EngineError):  # it is gone
            while (await self.inspect(container)).is_running:
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)

    async def signal(self, container: str, number: int) -> None:
        """See Engine."""
        with contextlib.suppress(EngineError):  # it has ended
            await self._call(self._client.kill, container, number)

    async def read_log(self, container: str, sink: Sink) -> None:
        """See Engine."""
        sink(await self._call(self._client.logs, container, stdout=True, stderr=True))

    async def remove(self, container: str) -> None:
        """See Engine."""
        await self._remove(partial(self._client.remove_container, container, v=True, force=True))

    async def sweep(self, labels: Mapping[str, str]) -> int:
        """See Engine."""
        wanted = {"label": [f"{name}={value}" for name, value in labels.items()]}
        client = self._client
        containers = await self._call(client.containers, all=True, filters=wanted)
        for item in containers:
            await self.remove(item["Id"])
        networks = await self._call(client.networks, filters=wanted)
        for item in networks:
            await self._remove(partial(client.remove_network, item["Id"]))
        volumes = (await self._call(client.volumes, filters=wanted)).get("Volumes") or []
        for item in volumes:
            await self._remove(partial(client.remove_volume, item["Name"], force=True))
        return len(containers) + len(networks) + len(volumes)

    async def list_jobs(self, label: str, labels: Mapping[str, str]) -> set[str]:
        """The values of `label` among all containers, networks and volumes that have `labels`."""
        wanted = {"label": [f"{name}={value}" for name, value in labels.items()]}
        client = self._client
        items = [*await self._call(client.containers, all=True, filters=wanted)]
        items += await self._call(client.networks, filters=wanted)
        items += (await self._call(client.volumes, filters=wanted)).get("Volumes") or []
        return {item["Labels"][label] for item in items if label in (item.get("Labels") or {})}

    async def _remove(self, call: Callable[[], Any]) -> None:
        """Remove something. It may be gone, or be going."""
        try:
            await self._call(call)
        except EngineError as error:
            said = error.what.lower()
            if "no such" not in said and "not found" not in said and "already in progress" not in said:
                raise

    async def _open(self, path: str, body: dict[str, Any] | None = None) -> OutputStream:
        return await OutputStream.open(
            self._address, f"/v{self._client.api_version}{path}", body, self._reach
        )

    async def _call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        call = partial(translated, partial(function, *arguments, **options))
        future = asyncio.get_running_loop().run_in_executor(self._threads, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait({future})
            raise

    async def _follow(
        self,
        open_events: Callable[[], Iterable[Mapping[str, Any]]],
        take: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """Give every event of a long call to `take`, here in the loop. Cancelled, it is broken off at the next event."""
        loop = asyncio.get_running_loop()
        is_given_up = False

        def follow() -> None:
            for event in open_events():
                if is_given_up:
                    return
                if "error" in event:
                    raise describe_failure(str(event["error"]))
                loop.call_soon_threadsafe(take, event)

        try:
            await loop.run_in_executor(self._threads, partial(translated, follow))
        finally:
            is_given_up = True
