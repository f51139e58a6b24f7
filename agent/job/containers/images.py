"""The image that is meant: what the owner of the machine says to it, and the digest that flow.lock holds it to."""

import re
from collections.abc import Callable

from agent.containers.policy import ContainerPolicy
from agent.errors import RefusedError
from agent.job.steps.state import RunningJob
from agent.resolve.dockerfile import replace_bases

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def container_policy(job: RunningJob) -> ContainerPolicy:
    """The owner's word on images and containers, read once a job. Raises UsageError."""
    from agent.containers.policy_file import load_container_policy

    if job.containers.policy is None:
        settings = job.settings
        job.containers.policy = load_container_policy(
            settings.rules, settings.container_allow, must_exist=settings.policy_must_exist
        )
    policy: ContainerPolicy = job.containers.policy
    return policy


def settle_image(job: RunningJob, image: str, where: str, say: Callable[[str], None]) -> str:
    """The image to run for `image`: by its digest, where flow.lock has one. Raises RefusedError."""
    digest = _find_pin(job, image, where, say)
    named = f"{image}@{digest}" if digest else image
    policy = container_policy(job)
    policy.require_image(named, where)
    policy.require_pin(named, where)
    return _by_digest(image, digest)


def pin_bases(job: RunningJob, dockerfile: str, where: str, say: Callable[[str], None]) -> str | None:
    """The text of a Dockerfile that is built from digests, where flow.lock has them; None when that changes nothing.

    The owner's word on images is not asked: a build runs what it likes anyway. Raises RefusedError.
    """
    if job.spec.pins is None:
        return None
    pinned = replace_bases(dockerfile, lambda image: _by_digest(image, _find_pin(job, image, where, say)))
    return None if pinned == dockerfile else pinned


def _by_digest(image: str, digest: str) -> str:
    if not digest:
        return image
    head, slash, last = image.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}@{digest}"


def _find_pin(job: RunningJob, image: str, where: str, say: Callable[[str], None]) -> str:
    pins = job.spec.pins
    if pins is None or "@" in image:
        return ""
    digest = pins.get(f"docker://{image}", "")
    if not digest:
        say(
            f"##[warning]'docker://{image}' is not in flow.lock: what it is now is used (`agent action lock` pins it)"
        )
    elif not _DIGEST.fullmatch(digest):
        raise RefusedError(f"the pin {digest[:80]!a} is not a digest", where=where)
    return digest
