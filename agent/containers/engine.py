"""The container engine: what it does for a job. `agent.containers.docker` speaks to a real one; nothing else here does.

The order of calls for one container:

    find_image | pull | build -> create -> start -> execute, inspect, read_log ... -> remove
                                 create -> run (starts, and waits for the end)      -> remove

Everything that a job makes carries its labels, so that `sweep` finds it whatever became of whoever made it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from agent.containers.blueprint import Blueprint
from agent.errors import AgentError

Say = Callable[[str], None]  # takes a line for people
Sink = Callable[[bytes], None]  # takes raw output

JOB_LABEL = "flow-agent.job"  # the tracking id of the job attempt
ROOT_LABEL = "flow-agent.root"  # the folder in which the agent keeps its jobs: two agents share a machine
_NOTHING: Mapping[str, str] = MappingProxyType({})


class EngineError(AgentError):
    """The engine could not do what it was asked."""


class ImageError(EngineError):
    """An image that cannot be had: unknown, refused, or it does not build."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are at a registry. Both are given to the engine in a header; neither is written anywhere."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """An image that is on this machine."""

    id: str
    digest: str = ""  # `name@sha256:...` as the registry knows it; empty for one that was made here
    env: Mapping[str, str] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """How a container stands."""

    is_running: bool
    exit_code: int
    health: str = ""  # "", "starting", "healthy", "unhealthy": empty where nobody checks
    ports: Mapping[str, str] = field(default_factory=lambda: _NOTHING)  # the container's -> the host's
    env: Mapping[str, str] = field(default_factory=lambda: _NOTHING)  # what each process in it begins with
    pid: int = 0  # of its first process, as the engine's machine counts; 0: it does not run


class Conversation(Protocol):
    """A program in a container that somebody talks to."""

    async def receive(self) -> tuple[int, bytes] | None:
        """The next output: its stream (1 or 2) and bytes; None when the program has ended."""
        ...

    async def send(self, data: bytes) -> None:
        """Standard input; returns when there is room for more."""
        ...

    def end_input(self) -> None:
        """Nothing more will be sent."""
        ...

    async def resize(self, rows: int, columns: int) -> None:
        """The terminal has another size."""
        ...

    async def exit_code(self) -> int:
        """How it ended; 255 when that is not known."""
        ...

    def close(self) -> None:
        """Hang up. What runs goes on: see `agent.containers.stop`."""
        ...


class Engine(Protocol):
    """A container engine. Every method raises UnreachableError when the engine does not answer, UsageError when what it is
    asked makes no sense, else EngineError.

    When a call is cancelled, what it had begun to make or remove is made or removed before the cancellation goes on
    (`pull` and `build` are given up); nothing is left that `sweep` does not find.
    """

    async def find_image(self, image: str) -> ImageFacts | None:
        """The image as it is on this machine; None when it is not."""
        ...

    async def pull(self, image: str, credentials: Credentials | None, say: Say) -> None:
        """Bring an image here once; the caller tries again. After a failure an older copy is still here.

        Without credentials those of the machine are used (`docker login`). Raises ImageError when trying again is
        pointless: the registry says no, or has no such image.
        """
        ...

    async def look_up(self, image: str) -> str:
        """The digest (`sha256:...`) that an image's tag has at its registry, with the machine's `docker login`.

        Raises ImageError: the registry says no, or has no such image.
        """
        ...

    async def build(self, dockerfile: Path, tag: str, say: Say, *, text: str | None = None) -> None:
        """Build the image `tag` from `dockerfile` and the folder that it lies in; from `text` instead, where it is given.

        After a failure there is no such tag. Raises ImageError.
        """
        ...

    async def empty_image(self) -> str:
        """The name of an image with nothing in it, made when it is not here."""
        ...

    async def create_network(self, name: str, labels: Mapping[str, str]) -> str:
        """Make a network that containers share, and return its id."""
        ...

    async def find_gateway(self, network: str) -> tuple[str, str]:
        """The address that this machine has on a network of the engine's, and the network's range (`172.18.0.0/16`); IPv4.

        Both empty where it has none. Raises EngineError.
        """

    async def create(self, name: str, blueprint: Blueprint) -> str:
        """Make a container that does not run yet, and return its id. After a failure there is none.

        Raises ImageError when its image is not here.
        """
        ...

    async def start(self, container: str) -> None:
        """Start a container. After a failure it is still there, for its log, and to be removed."""
        ...

    async def run(self, container: str, sink: Sink) -> int:
        """Start a container, hand its output to `sink`, and return its exit code when it has ended.

        When this is cancelled the container goes on: `signal` and `remove` it.
        """
        ...

    async def execute(
        self, container: str, arguments: Sequence[str], *, env: Mapping[str, str], cwd: str, sink: Sink
    ) -> int:
        """Run a program in a running container and return its exit code (126 or 127 when it cannot be started).

        When this is cancelled the program goes on: it does not die with whoever asked for it.
        """
        ...

    async def converse(
        self,
        container: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        window: tuple[int, int] | None,
    ) -> "Conversation":
        """Start a program in a running container that somebody talks to, at a terminal of `window` (rows, columns) or without one."""
        ...

    async def attach(self, container: str) -> "Conversation":
        """Start a container whose blueprint takes input, and talk to its first process. To hang up does not end it."""
        ...

    async def inspect(self, container: str) -> ContainerFacts:
        """How a container stands."""
        ...

    async def count_memory_kills(
        self, container: str, *, known: int = 0, patience_seconds: float = 0.0
    ) -> int:
        """How often the kernel has killed processes of the container because its memory was used up.

        The news may come a moment after the death: for more than `known` it is waited for `patience_seconds` at most.
        """
        ...

    async def wait(self, container: str) -> None:
        """Return when a container has ended, or is gone."""
        ...

    async def signal(self, container: str, number: int) -> None:
        """Send a signal to a container's first process; no error when it has ended."""
        ...

    async def read_log(self, container: str, sink: Sink) -> None:
        """What a container has printed so far; nothing for one whose blueprint keeps no log."""
        ...

    async def remove(self, container: str) -> None:
        """End a container and remove it with its nameless volumes; no error when it is gone."""
        ...

    async def sweep(self, labels: Mapping[str, str]) -> int:
        """Remove every container, network and volume with all of `labels`. Returns how many there were."""
        ...

    async def close(self) -> None:
        """Let go of the engine. What was made stays."""
        ...
