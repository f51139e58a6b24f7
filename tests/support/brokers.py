"""A real nats-server and a real redis-server: on the loopback interface, in a folder of their own, to be killed and started again."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


@dataclass
class Broker:
    """A server process on one port, whichever process it is."""

    command: list[str]
    port: int
    log: Path
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """As `kill -9`."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextmanager
def _running(command: list[str], port: int, folder: Path) -> Iterator[Broker]:
    binary = shutil.which(command[0])
    if binary is None:
        pytest.fail(f"{command[0]} is not installed: tests/set-up .venv server,dev")
    broker = Broker([binary, *command[1:]], port, folder / "log")
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


@contextmanager
def run_nats(folder: Path) -> Iterator[Broker]:
    """A nats-server with JetStream."""
    port = free_port()
    command = [
        "nats-server",
        "--addr",
        "127.0.0.1",
        "--port",
        str(port),
        "--jetstream",
        "--store_dir",
        str(folder / "js"),
    ]
    with _running(command, port, folder) as broker:
        yield broker


@contextmanager
def run_redis(folder: Path, *, keeps: bool = True) -> Iterator[Broker]:
    """A redis-server that writes each change down; `keeps=False`: none, as Debian's does within a minute of its start."""
    port = free_port()
    options = (
        ["--appendonly", "yes", "--appendfsync", "always"] if keeps else ["--save", "", "--appendonly", "no"]
    )
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), *options]
    with _running(command, port, folder) as broker:
        yield broker
