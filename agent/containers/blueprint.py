"""A container to be made: what we want of it, in the form in which an engine is told.

Source: Docker Engine API, `POST /containers/create`.
"""

from dataclasses import dataclass, field
from typing import Any

from agent.containers.gpu_devices import request_cdi_devices, request_gpus
from agent.containers.mounts import Mount
from agent.containers.policy import ContainerPolicy

_MAX_LOG = {"max-size": "10m", "max-file": "1"}


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a container that the machine hands on. `host` empty: any free one."""

    container: str  # `80/tcp`
    host: str = ""
    address: str = "127.0.0.1"


@dataclass(slots=True)
class Blueprint:
    """Everything about a container that is not its name.

    `config` and `host_config` are what the flow's `options` say, in the engine's own words.
    """

    image: str
    labels: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] | None = None
    command: list[str] | None = None
    workdir: str = ""
    network: str = ""  # empty: the engine's default bridge
    aliases: list[str] = field(default_factory=list)  # names in the network
    mounts: list[Mount] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)
    gpus: tuple[str, ...] = ()  # UUIDs
    has_cdi_gpus: bool = False  # the engine knows them by their CDI names
    keeps_log: bool = False
    takes_input: bool = False  # its first process has a standard input, until whoever is attached ends that
    config: dict[str, Any] = field(default_factory=dict)
    host_config: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The body of the request that makes it."""
        body: dict[str, Any] = {
            **self.config,
            "Image": self.image,
            "Labels": {**self.config.get("Labels", {}), **self.labels},
            "Env": [f"{name}={value}" for name, value in self._full_env().items()],
            "AttachStdout": True,
            "AttachStderr": True,
            "HostConfig": self._host_json(),
        }
        if self.takes_input:
            body |= {"AttachStdin": True, "OpenStdin": True, "StdinOnce": True}
        if self.entrypoint is not None:
            body["Entrypoint"] = self.entrypoint
        if self.command is not None:
            body["Cmd"] = self.command
        if self.workdir:
            body["WorkingDir"] = self.workdir
        if self.ports:
            body["ExposedPorts"] = {port.container: {} for port in self.ports} | body.get("ExposedPorts", {})
        if self.network and self.aliases:
            endpoint = {"Aliases": self.aliases}
            body["NetworkingConfig"] = {"EndpointsConfig": {self.network: endpoint}}
        return body

    def choose_user(self, policy: ContainerPolicy, where: str) -> None:
        """Run as a user that the owner of the machine lets containers be. Raises RefusedError."""
        user = policy.choose_user(str(self.config.get("User", "")), where)
        if user:
            self.config["User"] = user

    def _full_env(self) -> dict[str, str]:
        # An engine whose default runtime is NVIDIA's reads this variable, CUDA images say `all` in it, and a flow might.
        return {**self.env, "NVIDIA_VISIBLE_DEVICES": ",".join(self.gpus) or "void"}

    def _host_json(self) -> dict[str, Any]:
        log = {"Type": "json-file", "Config": _MAX_LOG} if self.keeps_log else {"Type": "none"}
        host: dict[str, Any] = {
            **self.host_config,
            "Mounts": [mount.to_json(self.labels) for mount in self.mounts],
            "LogConfig": log,
        }
        if self.network:
            host["NetworkMode"] = self.network
        if self.ports:
            bindings: dict[str, list[dict[str, str]]] = {}
            for port in self.ports:
                bindings.setdefault(port.container, []).append(
                    {"HostIp": port.address, "HostPort": port.host}
                )
            host["PortBindings"] = bindings
        if self.gpus:
            request = request_cdi_devices if self.has_cdi_gpus else request_gpus
            host["DeviceRequests"] = [request(self.gpus)]
        return host
