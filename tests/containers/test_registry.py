"""Images from a real registry, with and without a login, by tag and by digest."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.jobs import run_job, script, uses
from support.registry import PASSWORD, USER, Registry

from agent.containers.docker import DockerEngine
from agent.containers.engine import Credentials, ImageError
from agent.containers.images import bring_image
from agent.containers.policy import ContainerPolicy
from agent.spec.outcome import Conclusion, FailureKind


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
