"""Targets of container options, and the plain options: a value that is put into its place."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from agent.containers.blueprint import Blueprint
from agent.containers.policy import ContainerPolicy


class OptionTarget:
    """A blueprint that options change, and whom they ask. `own_folders` are those that need nobody's leave to be mounted."""

    def __init__(
        self, blueprint: Blueprint, policy: ContainerPolicy, own_folders: Sequence[str], where: str
    ) -> None:
        self.blueprint = blueprint
        self.policy = policy
        self.own_folders = own_folders
        self.where = where

    def append(self, place: str, value: object) -> None:
        """Add to a list of the host configuration."""
        self.blueprint.host_config.setdefault(place, []).append(value)

    def check_health(self) -> dict[str, Any]:
        """The health check, which several flags make together."""
        check: dict[str, Any] = self.blueprint.config.setdefault("Healthcheck", {})
        return check


Flag = Callable[[OptionTarget, str], None]
Switch = Callable[[OptionTarget], None]

_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)i?b?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def read_bytes(text: str) -> int:
    """`64m` as bytes, by powers of 1024; -1 is no limit. Raises ValueError."""
    if text == "-1":
        return -1
    match = _BYTES.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    return int(float(match[1]) * 1024 ** "bkmgt".index(match[2].lower() or "b"))


def read_duration(text: str) -> int:
    """`1m30s` as nanoseconds. Raises ValueError."""
    parts = list(_DURATION.finditer(text))
    if text == "0":
        return 0
    if not parts or "".join(part[0] for part in parts) != text:
        raise ValueError(text)
    return int(sum(float(part[1]) * _NANOSECONDS[part[2]] for part in parts))


def set_host(place: str, read: Callable[[str], object] = str) -> Flag:
    """A flag whose value is a member of the host configuration."""

    def apply(target: OptionTarget, value: str) -> None:
        target.blueprint.host_config[place] = read(value)

    return apply


def set_config(place: str) -> Flag:
    """A flag whose value is a member of the container configuration."""

    def apply(target: OptionTarget, value: str) -> None:
        target.blueprint.config[place] = value

    return apply


def add_host(place: str) -> Flag:
    """A flag whose values make a list of the host configuration."""

    def apply(target: OptionTarget, value: str) -> None:
        target.append(place, value)

    return apply


def set_pair(place: str) -> Flag:
    """A flag `name=value` that fills a mapping of the host configuration."""

    def apply(target: OptionTarget, value: str) -> None:
        name, _, text = value.partition("=")
        target.blueprint.host_config.setdefault(place, {})[name] = text

    return apply


def set_health(place: str, read: Callable[[str], object]) -> Flag:
    """A flag of the health check."""

    def apply(target: OptionTarget, value: str) -> None:
        target.check_health()[place] = read(value)

    return apply


def switch_host(place: str) -> Switch:
    """A switch of the host configuration."""

    def apply(target: OptionTarget) -> None:
        target.blueprint.host_config[place] = True

    return apply


def mean_nothing(_target: OptionTarget) -> None:
    """Means nothing for a container that the agent makes, keeps and removes itself."""
