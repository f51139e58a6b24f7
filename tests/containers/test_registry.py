"""Images from a real registry, with and without a login, by tag and by digest."""

import asyncio
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
from typing import Any

import pytest
from support.docker import BUSYBOX, connect
from support.jobs import run_job, script, uses

from agent.containers.docker import DockerEngine
from agent.containers.engine import Credentials, ImageError
from agent.containers.images import bring_image
from agent.containers.policy import ContainerPolicy
from agent.spec.outcome import Conclusion, FailureKind

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


def push(host: str, engine: str) -> str:
    with contextlib.closing(connect(engine)) as client:
        client.tag(BUSYBOX, f"{host}/tools/box", "1")
        login = {"username": USER, "password": PASSWORD}
        events = list(client.push(f"{host}/tools/box", "1", auth_config=login, stream=True, decode=True))
        return str(next(event["aux"]["Digest"] for event in events if "aux" in event))


@pytest.fixture(scope="module")
def open_registry(engine_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("open"), engine_address, has_login=False) as registry:
        yield registry


@pytest.fixture(scope="module")
def closed_registry(engine_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("closed"), engine_address, has_login=True) as registry:
        yield registry


def bring(engine_address: str, image: str, **options: Any) -> list[str]:
    """Have the image as a server's job has it; what the log says."""
    said: list[str] = []

    async def work() -> None:
        engine = await DockerEngine.connect(engine_address)
        try:
            options.setdefault("policy", ContainerPolicy())
            await bring_image(engine, image, said.append, pause_seconds=0.01, **options)
        finally:
            await engine.close()

    asyncio.run(work())
    return said


def test_an_image_comes_by_its_tag_and_says_how_far_it_is(open_registry: Registry) -> None:
    open_registry.forget()
    said = bring(open_registry.engine, open_registry.image)
    assert said[0] == f"Pulling {open_registry.image}"
    assert f"Status: Downloaded newer image for {open_registry.image}" in said
    assert f"Digest: {open_registry.digest}" in said


def test_an_image_comes_by_its_digest(tmp_path: Path, open_registry: Registry) -> None:
    open_registry.forget()
    image = f"{open_registry.host}/tools/box@{open_registry.digest}"
    settings = {"docker_host": open_registry.engine}
    report = run_job(tmp_path, script("one", "echo here"), container=image, settings=settings)
    assert report.output_of("one") == ["here"], report.log()


def test_a_login_opens_a_closed_registry(tmp_path: Path, closed_registry: Registry) -> None:
    closed_registry.forget()
    container = {
        "image": closed_registry.image,
        "credentials": {"username": USER, "password": "${{ secrets.REGISTRY }}"},
    }
    report = run_job(
        tmp_path,
        script("one", "echo here; cat /proc/*/cmdline | tr '\\0' ' '"),
        container=container,
        services={"again": {**container, "command": "sleep 3600"}},
        secrets={"REGISTRY": PASSWORD},
        settings={"docker_host": closed_registry.engine},
    )
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert PASSWORD not in report.log()
    written = [
        file for file in tmp_path.rglob("*") if file.is_file() and PASSWORD.encode() in file.read_bytes()
    ]
    assert written == []


@pytest.mark.parametrize("credentials", [None, Credentials(USER, "wrong")])
def test_without_the_right_login_it_stays_closed(closed_registry: Registry, credentials: Any) -> None:
    closed_registry.forget()
    with pytest.raises(ImageError) as error:
        bring(closed_registry.engine, closed_registry.image, credentials=credentials)
    assert "`credentials:`" in error.value.hint


def test_a_private_image_that_is_here_is_not_given_to_who_may_not_have_it(closed_registry: Registry) -> None:
    bring(closed_registry.engine, closed_registry.image, credentials=Credentials(USER, PASSWORD))
    with pytest.raises(ImageError):
        bring(closed_registry.engine, closed_registry.image)
    said = bring(closed_registry.engine, closed_registry.image, is_local_run=True)
    assert said[0].startswith("Using the image on this machine")
    policy = ContainerPolicy.parse([f"local-image:{closed_registry.host}/*"])
    assert bring(closed_registry.engine, closed_registry.image, policy=policy) == said


def test_an_unknown_tag_is_asked_for_once(open_registry: Registry) -> None:
    with pytest.raises(ImageError) as error:
        bring(open_registry.engine, f"{open_registry.host}/tools/box:gone", tries=1000)
    assert "check the image's name and tag" in error.value.hint


def test_a_registry_that_is_not_there_is_asked_three_times(tmp_path: Path, engine_address: str) -> None:
    settings = {"docker_host": engine_address, "server_url": "http://127.0.0.1:1"}
    step = uses("one", "docker://127.0.0.1:1/tools/box:1")
    report = run_job(tmp_path, step, settings=settings)
    assert report.log("__image").count("Trying again") == 2
    assert report.result.failure_kind is FailureKind.IMAGE
