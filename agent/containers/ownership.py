"""Files that a container's root left in our folders, given back to us.

Where the agent is not root it may not remove them. A container may: one without an image of anybody's, in which the
machine's own programs are mounted, read-only.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from agent.containers.blueprint import Blueprint
from agent.containers.engine import Engine, EngineError
from agent.containers.mounts import mount_own_folder
from agent.trees import walk_tree

_TOOLS = ("/bin", "/lib", "/lib64", "/usr")
_INSIDE = "/job"


async def take_ownership(
    engine: Engine, folder: Path, labels: Mapping[str, str], owner: tuple[int, int] | None = None
) -> None:
    """Make `owner` (user and group; this user) the owner of all below `folder` that belongs to others. Links are changed, not followed."""
    user, group = owner or (os.geteuid(), os.getegid())
    # Whose files are another's are not ours to look at.
    if user == 0 or (owner is None and not await asyncio.to_thread(_holds_foreign, folder, user)):
        return
    await give_ownership(engine, folder, user, group, labels)


async def give_ownership(
    engine: Engine, folder: Path, user: int, group: int, labels: Mapping[str, str]
) -> None:
    """Make `user` and `group` the owners of `folder` and all below it. Raises EngineError."""
    image = await engine.empty_image()
    mounts = [mount_own_folder(path, path, read_only=True) for path in _machine_programs()]
    blueprint = Blueprint(
        image,
        labels=dict(labels),
        entrypoint=["/bin/chown"],
        command=["-hR", f"{user}:{group}", _INSIDE],
        network="none",
        mounts=[*mounts, mount_own_folder(str(folder), _INSIDE)],
    )
    said: list[bytes] = []
    container = await engine.create(f"flow-agent-owner-{secrets.token_hex(6)}", blueprint)
    try:
        if await engine.run(container, said.append) != 0:
            raise EngineError(b"".join(said).decode("utf-8", "replace").strip(), where=str(folder))
    finally:
        await engine.remove(container)


def _machine_programs() -> list[str]:
    return [path for path in _TOOLS if Path(path).is_dir()]


def _holds_foreign(folder: Path, user: int) -> bool:
    """Whether something below is somebody else's, or can't be looked at: then it may be."""
    try:
        for _file, _below, entries in walk_tree(folder):
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_uid != user:
                        return True
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    return False
