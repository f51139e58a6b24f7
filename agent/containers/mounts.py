"""Mounts: what of the machine lies inside a container. Every mount is made here, and what a flow asks for asks the policy first.

    mount_own_folder    a folder of the agent's or the job's, mounted because the agent wants it
    mount_asked_folder  a folder that a flow names: the policy is asked for where it really lies
    mount_volume        a volume of the engine: whatever is written, it is never a folder of the machine

A mount says by itself what it is, so that no text of a flow (`type=volume,source=/etc`) turns one into the other.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent.containers.policy import ContainerPolicy
from agent.errors import UsageError

_VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class MountKind(StrEnum):
    """What a mount is, in the engine's words."""

    FOLDER = "bind"
    VOLUME = "volume"


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the machine, or a volume, inside a container. Made by the functions of this module alone."""

    kind: MountKind
    source: str  # the true absolute path of a folder, or a volume's name; empty: a nameless volume
    target: str
    read_only: bool = False

    def to_json(self, labels: dict[str, str]) -> dict[str, Any]:
        """The mount as an engine is told; a volume that is made for it carries `labels`."""
        body: dict[str, Any] = {"Type": str(self.kind), "Target": self.target, "ReadOnly": self.read_only}
        if self.source:
            body["Source"] = self.source
        if self.kind is MountKind.VOLUME:
            body["VolumeOptions"] = {"Labels": labels}
        return body


def mount_own_folder(path: str, target: str, *, read_only: bool = False) -> Mount:
    """A folder or file that the agent mounts of its own accord. No text of a flow may decide `path`."""
    return Mount(MountKind.FOLDER, path, target, read_only)


def mount_asked_folder(
    path: str,
    target: str,
    policy: ContainerPolicy,
    own_folders: Iterable[str],
    where: str,
    *,
    read_only: bool = False,
) -> Mount:
    """A folder that a flow asks for. `own_folders` need nobody's leave. Raises UsageError, and RefusedError by the policy."""
    if not path.startswith("/"):
        raise UsageError(f"'{path}' is no absolute path", where=where, hint="write /source:/target")
    return Mount(MountKind.FOLDER, policy.require_folder(path, own_folders, where), target, read_only)


def mount_volume(name: str, target: str, where: str, *, read_only: bool = False) -> Mount:
    """A volume; `name` may be empty. Raises UsageError for a name that no volume can have, a path above all."""
    if name and _VOLUME_NAME.fullmatch(name) is None:
        raise UsageError(
            f"'{name}' is no name of a volume", where=where, hint="a folder is mounted by /source:/target"
        )
    return Mount(MountKind.VOLUME, name, target, read_only)
