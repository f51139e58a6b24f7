"""The images that flows use, and the digests that their tags have at their registries now."""

import asyncio
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from agent.errors import AgentError
from agent.flow.model import Flow, Job
from agent.resolve.dockerfile import list_bases
from agent.resolve.manifests.model import DockerRuns
from agent.resolve.pins import IMAGE_PREFIX
from agent.resolve.reference import ImageReference
from agent.resolve.uses import Use

Image = tuple[str, str]  # its name without `docker://`, and its place as file:line:column


def list_images(flows: Iterable[Flow], uses: Iterable[Use]) -> list[Image]:
    """Each image that the flows name in jobs, and that their steps and actions name; those with a digest need no pin."""
    found = [image for flow in flows for image in _images_of(flow)]
    found += [image for use in uses for image in _images_of_use(use)]
    return [(image, place) for image, place in found if "@sha256:" not in image]


def is_settled(image: str) -> bool:
    """Whether `image` is known before the job runs, and before it is built."""
    return "$" not in image and " " not in image


def look_up_digests(images: Iterable[str]) -> dict[str, str | AgentError]:
    """The digest of each of `images` at its registry, asked through this machine's container engine; or why there is none."""
    wanted = sorted(set(images))
    return asyncio.run(_look_up(wanted)) if wanted else {}


async def _look_up(images: Sequence[str]) -> dict[str, str | AgentError]:
    from agent.containers.docker import DockerEngine

    found: dict[str, str | AgentError] = {}
    try:
        engine = await DockerEngine.connect(os.environ.get("DOCKER_HOST", ""))
    except AgentError as error:
        return dict.fromkeys(images, error)
    try:
        for image in images:
            try:
                found[image] = await engine.look_up(image)
            except AgentError as error:
                found[image] = error
    finally:
        await engine.close()
    return found


def _images_of(flow: Flow) -> Iterator[Image]:
    for job in flow.jobs.values():
        for written in _containers(job):
            image = written.get("image") if isinstance(written, Mapping) else written
            if isinstance(image, str) and image.strip():
                yield image.strip().removeprefix(IMAGE_PREFIX), str(job.position)


def _containers(job: Job) -> Iterator[object]:
    yield job.container
    if isinstance(job.services, Mapping):
        yield from job.services.values()
    else:
        yield job.services


def _images_of_use(use: Use) -> Iterator[Image]:
    if isinstance(use.reference, ImageReference):
        yield use.reference.image, use.place
    elif use.action is not None and isinstance(use.action.manifest.runs, DockerRuns):
        image = use.action.manifest.runs.image
        if image.lower().startswith(IMAGE_PREFIX):
            yield image[len(IMAGE_PREFIX) :], use.place
        else:
            yield from _bases_of(use.action.folder / image, f"{use.place}: {use.text}: {image}")


def _bases_of(dockerfile: Path, place: str) -> Iterator[Image]:
    """The images that a Dockerfile is built from."""
    with contextlib.suppress(OSError):  # it is missing: the job, or the resolver, says so
        text = dockerfile.read_text(encoding="utf-8", errors="replace")
        for base in list_bases(text):
            yield base.image, f"{place}:{base.line}"
