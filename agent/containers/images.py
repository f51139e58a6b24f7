"""Images brought here: pulled with patience, or built once for each content."""

import asyncio
import hashlib
import os
import stat
from pathlib import Path

from agent.containers.engine import Credentials, Engine, EngineError, ImageError, Say
from agent.containers.policy import ContainerPolicy
from agent.errors import AgentError, UnreachableError
from agent.trees import walk_tree

TRIES = 3
FIRST_PAUSE_SECONDS = 2.0


async def bring_image(
    engine: Engine,
    image: str,
    say: Say,
    *,
    policy: ContainerPolicy,
    credentials: Credentials | None = None,
    is_local_run: bool = False,
    tries: int = TRIES,
    pause_seconds: float = FIRST_PAUSE_SECONDS,
) -> None:
    """Have `image` on this machine. Raises ImageError.

    The registry is always asked, for it knows who may have the image, and what a moved tag is now. A copy that is here
    counts for itself in a local run, and where the policy says so (`local-image:`).
    """
    if is_local_run or policy.trusts_local(image):
        found = await engine.find_image(image)
        if found is not None:
            say(f"Using the image on this machine: {image} ({found.id})")
            return
    say(f"Pulling {image}")
    for left in range(tries - 1, -1, -1):
        try:
            await engine.pull(image, credentials, say)
        except ImageError as error:
            raise ImageError(error.what, where=image, hint=_advise(error.what)) from None
        except EngineError as error:
            if not left:
                raise ImageError(
                    error.what, where=image, hint="can this machine reach the registry?"
                ) from None
            say(f"##[warning]The pull failed: {error.what}. Trying again in {pause_seconds:g} seconds.")
            await asyncio.sleep(pause_seconds)
            pause_seconds *= 2
        else:
            break
    found = await engine.find_image(image)
    if found is None:
        raise ImageError("the engine has pulled the image and does not have it", where=image)


async def build_image(engine: Engine, dockerfile: Path, say: Say, *, text: str | None = None) -> str:
    """The tag of the image that `dockerfile` makes of its folder; built when none of this very content is here.

    `text` is built instead of what stands in `dockerfile`. Raises ImageError.
    """
    digest = await asyncio.to_thread(_digest, dockerfile.parent, f"{dockerfile.name}\0{text or ''}")
    tag = f"flow-agent/action:{digest[:40]}"
    if await engine.find_image(tag) is not None:
        say(f"This action's image was built before: {tag}")
        return tag
    try:
        await engine.build(dockerfile, tag, say, text=text)
    except UnreachableError:
        raise
    except AgentError as error:
        raise ImageError(f"the action's image cannot be built: {error.what}", where=str(dockerfile)) from None
    return tag


def _advise(said: str) -> str:
    if any(word in said.lower() for word in ("unauthorized", "denied", "no basic auth")):
        return "does it exist, and are the `credentials:` right?"
    return "check the image's name and tag"


def _digest(folder: Path, instructions: str) -> str:
    """One name for all that a build can see: every path, kind, mode and content, and what is done with them."""
    digest = hashlib.sha256(os.fsencode(instructions) + b"\0")
    for _file, below, entries in walk_tree(folder):
        for entry in entries:
            path = folder / below / entry.name
            status = path.lstat()
            digest.update(os.fsencode(path.relative_to(folder)) + f"\0{status.st_mode:o}\0".encode())
            if stat.S_ISLNK(status.st_mode):
                digest.update(os.fsencode(path.readlink()))
            elif stat.S_ISREG(status.st_mode):
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
