"""`volumes:` and `ports:` as `docker create` writes them."""

import re
from collections.abc import Sequence

from agent.containers.blueprint import Port
from agent.containers.mounts import Mount, mount_asked_folder, mount_volume
from agent.containers.policy import ContainerPolicy
from agent.errors import UsageError

_PORT = re.compile(
    r"(?:(?P<address>\[[0-9A-Fa-f:.]+\]|\d+(?:\.\d+){3}):)?(?:(?P<host>\d*):)?(?P<container>\d+)(?P<kind>/(?:tcp|udp|sctp))?"
)
_MODES = {"", "rw", "ro", "z", "Z", "cached", "delegated", "consistent"}


def read_volume(text: str, policy: ContainerPolicy, own_folders: Sequence[str], where: str) -> Mount:
    """`/src:/dst[:ro]`, `name:/dst` or `/dst`. Raises UsageError, and RefusedError for a folder that is not allowed."""
    source, colon, rest = text.partition(":")
    if not colon:
        source, rest = "", text
    target, _, mode = rest.partition(":")
    modes = set(mode.split(","))
    if not target.startswith("/") or not modes <= _MODES:
        raise UsageError(
            f"'{text}' is no volume",
            where=where,
            hint="write /source:/target, name:/target or /target, then :ro",
        )
    if source.startswith("/"):
        return mount_asked_folder(source, target, policy, own_folders, where, read_only="ro" in modes)
    return mount_volume(source, target, where, read_only="ro" in modes)


def read_port(text: str, where: str) -> Port:
    """`80`, `8080:80`, `127.0.0.1:8080:80`, each with `/udp` or `/tcp`. Raises UsageError.

    Without an address a port is open to this machine only: what tests against `localhost` need, and no more.
    """
    match = _PORT.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"'{text}' is no port", where=where, hint="write 80, 8080:80 or 127.0.0.1:8080:80")
    kind = match["kind"] or "/tcp"
    address = (match["address"] or "127.0.0.1").strip("[]")
    return Port(match["container"] + kind, match["host"] or "", address)
