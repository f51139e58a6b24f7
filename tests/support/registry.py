"""A real image registry, with and without a login."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.docker import BUSYBOX, connect

USER, PASSWORD = "robot", "hunter2secret"
HTPASSWD = "robot:$2y$04$RV3t2EYEey4n.AaKGz5MyeaRLjOrSzDy2NK3GizYWRgy35w1LP90C\n"


@dataclass(frozen=True)
class Registry:
    host: str
    engine: str
    digest: str  # of the image `host/tools/box:1`

    @property
    def image(self) -> str:
        return f"{self.host}/tools/box:1"

    def forget(self) -> None:
        """The engine has no copy of the image any more."""
        with contextlib.closing(connect(self.engine)) as client:
            for name in (self.image, f"{self.host}/tools/box@{self.digest}"):
                with contextlib.suppress(Exception):
                    client.remove_image(name, force=True)


@contextlib.contextmanager
def running_registry(folder: Path, engine: str, *, has_login: bool) -> Iterator[Registry]:
    program = shutil.which("docker-registry")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("docker-registry is part of CI")
        pytest.skip("docker-registry is missing")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    config = folder / "config.yml"
    (folder / "htpasswd").write_text(HTPASSWD)
    login = f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n" if has_login else ""
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: '{host}'}}\n{login}"
    )
    process = subprocess.Popen(
        [program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until_it_answers(host)
        yield Registry(host, engine, push(host, engine))
    finally:
        process.terminate()
        process.wait()


def wait_until_it_answers(host: str) -> None:
    while True:
        try:
            urllib.request.urlopen(f"http://{host}/v2/", timeout=5).close()
        except urllib.error.HTTPError:  # it wants a login
            return
        except urllib.error.URLError:
            time.sleep(0.02)
        else:
            return


def push(host: str, engine: str, image: str = BUSYBOX) -> str:
    """Let the registry's `tools/box:1` be `image`; its digest."""
    with contextlib.closing(connect(engine)) as client:
        client.tag(image, f"{host}/tools/box", "1")
        login = {"username": USER, "password": PASSWORD}
        events = list(client.push(f"{host}/tools/box", "1", auth_config=login, stream=True, decode=True))
        return str(next(event["aux"]["Digest"] for event in events if "aux" in event))
