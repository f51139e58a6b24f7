"""`options:` of a container, read by the rules of `docker create`.

Words are split as a shell splits them; a flag is `--name value`, `--name=value`, `-n value` or `-nvalue`. Each flag that is
known is a row of a table; one that is not is refused, for what nobody has looked at may give the machine away. What
gives it away is asked of the policy.
Source: docs.docker.com, *docker container create*; github.com/docker/cli `opts.go`.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from agent.containers.blueprint import Blueprint, Mount
from agent.containers.policy import ContainerPolicy
from agent.containers.volumes import read_port, read_volume
from agent.errors import RefusedError, UsageError


class OptionReader:
    """Applies one text of options to a blueprint. `own_folders` are those that need nobody's leave to be mounted."""

    def __init__(
        self, blueprint: Blueprint, policy: ContainerPolicy, own_folders: Sequence[str], where: str
    ) -> None:
        self.blueprint = blueprint
        self.policy = policy
        self.own_folders = own_folders
        self.where = where

    def apply(self, text: str) -> None:
        """Raises UsageError for what cannot be understood and RefusedError for what is not allowed."""
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise UsageError(f"the options cannot be read: {error}", where=self.where) from None
        while words:
            self._apply_next(words)

    def _apply_next(self, words: list[str]) -> None:
        flag, value = _split_flag(words.pop(0), self.where)
        if flag in _SWITCHES:
            if value is None or value.lower() in ("true", "1"):
                _SWITCHES[flag](self)
            return
        if flag not in _FLAGS:
            raise RefusedError(
                f"the option '{flag}' is not supported", where=self.where, hint="see docs/jobs.md, Containers"
            )
        if value is None:
            if not words:
                raise UsageError(f"the option '{flag}' needs a value", where=self.where)
            value = words.pop(0)
        try:
            _FLAGS[flag](self, value)
        except ValueError:
            raise UsageError(f"'{value}' is no value for the option '{flag}'", where=self.where) from None

    def append(self, place: str, value: object) -> None:
        """Add to a list of the host configuration."""
        self.blueprint.host_config.setdefault(place, []).append(value)

    def check_health(self) -> dict[str, Any]:
        """The health check, which several flags make together."""
        check: dict[str, Any] = self.blueprint.config.setdefault("Healthcheck", {})
        return check


_SHORT = {
    "-c": "--cpu-shares",
    "-d": "--detach",
    "-e": "--env",
    "-h": "--hostname",
    "-i": "--interactive",
    "-l": "--label",
    "-m": "--memory",
    "-p": "--publish",
    "-t": "--tty",
    "-u": "--user",
    "-v": "--volume",
    "-w": "--workdir",
}


def _split_flag(word: str, where: str) -> tuple[str, str | None]:
    """(the flag's long name, its value when it is in the same word)."""
    if word.startswith("--") and len(word) > 2:
        flag, equals, value = word.partition("=")
        return flag, value if equals else None
    short = _SHORT.get(word[:2])
    if short is None:
        raise UsageError(
            f"'{word}' is no option of `docker create`", where=where, hint="put a value with spaces in quotes"
        )
    rest = word[2:].removeprefix("=")
    if short in _SWITCHES and rest:
        if any(f"-{letter}" not in _SHORT or _SHORT[f"-{letter}"] not in _SWITCHES for letter in rest):
            raise UsageError(f"'{word}' is no option of `docker create`", where=where)
        return short, None
    return short, rest or None


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


def _host(place: str, read: Callable[[str], object] = str) -> Callable[[OptionReader, str], None]:
    """A flag whose value is a member of the host configuration."""

    def apply(reader: OptionReader, value: str) -> None:
        reader.blueprint.host_config[place] = read(value)

    return apply


def _config(place: str) -> Callable[[OptionReader, str], None]:
    def apply(reader: OptionReader, value: str) -> None:
        reader.blueprint.config[place] = value

    return apply


def _host_list(place: str) -> Callable[[OptionReader, str], None]:
    def apply(reader: OptionReader, value: str) -> None:
        reader.append(place, value)

    return apply


def _pair(place: str) -> Callable[[OptionReader, str], None]:
    """A flag `name=value` that fills a mapping of the host configuration."""

    def apply(reader: OptionReader, value: str) -> None:
        name, _, text = value.partition("=")
        reader.blueprint.host_config.setdefault(place, {})[name] = text

    return apply


def _health(place: str, read: Callable[[str], object]) -> Callable[[OptionReader, str], None]:
    def apply(reader: OptionReader, value: str) -> None:
        reader.check_health()[place] = read(value)

    return apply


def _namespace(place: str, word: str, private: tuple[str, ...]) -> Callable[[OptionReader, str], None]:
    """A namespace: of its own, or the machine's, for which the policy is asked; never another container's."""

    def apply(reader: OptionReader, value: str) -> None:
        if value not in private:
            if value != "host" or not word:
                raise RefusedError(f"the option '{place}={value}' is not supported", where=reader.where)
            hint = "make shared memory larger with `--shm-size 8g`" if word == "host-ipc" else ""
            reader.policy.require(word, _NAMESPACES[word], reader.where, hint)
        reader.blueprint.host_config[place] = value

    return apply


_NAMESPACES = {
    "host-ipc": "the machine's shared memory",
    "host-pid": "the machine's processes",
    "host-network": "the machine's network",
}


def _env(reader: OptionReader, value: str) -> None:
    name, equals, text = value.partition("=")
    if not equals:
        raise UsageError(
            f"the option '--env {name}' would take the agent's own variable",
            where=reader.where,
            hint=f"write --env {name}=VALUE, or use `env:`",
        )
    reader.blueprint.env[name] = text


def _label(reader: OptionReader, value: str) -> None:
    name, _, text = value.partition("=")
    if name.startswith("flow-agent."):
        raise RefusedError(f"the label '{name}' is the agent's own", where=reader.where)
    reader.blueprint.config.setdefault("Labels", {})[name] = text


def _ulimit(reader: OptionReader, value: str) -> None:
    name, _, limits = value.partition("=")
    soft, _, hard = limits.partition(":")
    reader.append("Ulimits", {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)})


def _add_capability(reader: OptionReader, value: str) -> None:
    reader.policy.require_capability(value, reader.where)
    reader.append("CapAdd", value)


def _device(reader: OptionReader, value: str) -> None:
    host, _, rest = value.partition(":")
    inside, _, rights = rest.partition(":")
    reader.policy.require_device(host, reader.where)
    entry = {"PathOnHost": host, "PathInContainer": inside or host, "CgroupPermissions": rights or "rwm"}
    reader.append("Devices", entry)


def _security(reader: OptionReader, value: str) -> None:
    if value not in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"):
        if value.replace("=", ":") not in ("seccomp:unconfined", "apparmor:unconfined"):
            raise RefusedError(f"the option '--security-opt {value}' is not supported", where=reader.where)
        reader.policy.require("unconfined", f"freedom from confinement ({value})", reader.where)
    reader.append("SecurityOpt", value)


def _volume(reader: OptionReader, value: str) -> None:
    mount = read_volume(value, reader.policy, reader.own_folders, reader.where)
    reader.blueprint.mounts.append(mount)


def _mount(reader: OptionReader, value: str) -> None:
    """`--mount type=bind,source=/x,target=/y,readonly`."""
    parts = dict(_split_pair(part) for part in value.split(","))
    kind = parts.get("type", "volume")
    target = parts.get("target") or parts.get("dst") or parts.get("destination") or ""
    source = parts.get("source") or parts.get("src") or ""
    read_only = any(parts.get(name, "false") in ("", "true", "1") for name in ("readonly", "ro"))
    if kind == "tmpfs" and target:
        _tmpfs(reader, target)
        return
    if kind not in ("bind", "volume") or not target.startswith("/") or (kind == "bind" and not source):
        raise ValueError(value)
    if kind == "bind":
        source = reader.policy.require_folder(source, reader.own_folders, reader.where)
    reader.blueprint.mounts.append(Mount(source, target, read_only))


def _split_pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value


def _tmpfs(reader: OptionReader, value: str) -> None:
    path, _, settings = value.partition(":")
    reader.blueprint.host_config.setdefault("Tmpfs", {})[path] = settings


def _publish(reader: OptionReader, value: str) -> None:
    reader.blueprint.ports.append(read_port(value, reader.where))


def _gpus(reader: OptionReader, value: str) -> None:
    """GPUs are given by the agent, by name: this may ask for fewer of them, never for others."""
    given = reader.blueprint.gpus
    wanted = value.removeprefix("device=").strip('"')
    if not given:
        raise RefusedError(
            "this job has no GPU to give to its container",
            where=reader.where,
            hint="ask for one with `runs-on: [gpu]`; its container then has it without `--gpus`",
        )
    if wanted == "all":
        return
    if wanted.isdecimal() and not value.startswith("device="):
        if int(wanted) > len(given):
            raise RefusedError(f"this job has {len(given)} GPUs, not {wanted}", where=reader.where)
        reader.blueprint.gpus = given[: int(wanted)]
        return
    names = tuple(wanted.split(","))
    if not set(names) <= set(given):
        raise RefusedError(f"the GPUs of this job are {', '.join(given)}, not {wanted}", where=reader.where)
    reader.blueprint.gpus = names


def _restart(reader: OptionReader, value: str) -> None:
    name, _, count = value.partition(":")
    policy: dict[str, object] = {"Name": "" if name == "no" else name}
    if count:
        policy["MaximumRetryCount"] = int(count)
    reader.blueprint.host_config["RestartPolicy"] = policy


def _runtime(reader: OptionReader, value: str) -> None:
    reader.policy.require(f"runtime:{value}", f"the runtime {value}", reader.where)
    reader.blueprint.host_config["Runtime"] = value


def _network(reader: OptionReader, value: str) -> None:
    if value in ("bridge", "default"):
        return
    if value != "host":
        raise RefusedError(
            f"the option '--network {value}' is not supported",
            where=reader.where,
            hint="the containers of a job share a network of their own",
        )
    reader.policy.require("host-network", _NAMESPACES["host-network"], reader.where)
    reader.blueprint.network = "host"


def _privileged(reader: OptionReader) -> None:
    reader.policy.require("privileged", "all privileges", reader.where)
    reader.blueprint.host_config["Privileged"] = True


def _no_health_check(reader: OptionReader) -> None:
    reader.blueprint.config["Healthcheck"] = {"Test": ["NONE"]}


def _set_host(place: str) -> Callable[[OptionReader], None]:
    def apply(reader: OptionReader) -> None:
        reader.blueprint.host_config[place] = True

    return apply


def _set_nothing(_reader: OptionReader) -> None:
    """Means nothing for a container that the agent makes, keeps and removes itself."""


_SWITCHES: dict[str, Callable[[OptionReader], None]] = {
    "--detach": _set_nothing,
    "--init": _set_host("Init"),
    "--interactive": _set_nothing,
    "--no-healthcheck": _no_health_check,
    "--oom-kill-disable": _set_host("OomKillDisable"),
    "--privileged": _privileged,
    "--quiet": _set_nothing,
    "--read-only": _set_host("ReadonlyRootfs"),
    "--rm": _set_nothing,
    "--tty": _set_nothing,
}

_FLAGS: dict[str, Callable[[OptionReader, str], None]] = {
    "--add-host": _host_list("ExtraHosts"),
    "--cap-add": _add_capability,
    "--cap-drop": _host_list("CapDrop"),
    "--cpu-period": _host("CpuPeriod", int),
    "--cpu-quota": _host("CpuQuota", int),
    "--cpu-shares": _host("CpuShares", int),
    "--cpus": _host("NanoCpus", lambda text: int(float(text) * 10**9)),
    "--cpuset-cpus": _host("CpusetCpus"),
    "--cpuset-mems": _host("CpusetMems"),
    "--device": _device,
    "--dns": _host_list("Dns"),
    "--dns-option": _host_list("DnsOptions"),
    "--dns-search": _host_list("DnsSearch"),
    "--domainname": _config("Domainname"),
    "--entrypoint": lambda reader, value: setattr(reader.blueprint, "entrypoint", [value]),
    "--env": _env,
    "--expose": lambda _reader, _value: None,  # containers of one network see all ports of each other
    "--gpus": _gpus,
    "--group-add": _host_list("GroupAdd"),
    "--health-cmd": _health("Test", lambda text: ["CMD-SHELL", text]),
    "--health-interval": _health("Interval", read_duration),
    "--health-retries": _health("Retries", int),
    "--health-start-period": _health("StartPeriod", read_duration),
    "--health-timeout": _health("Timeout", read_duration),
    "--hostname": _config("Hostname"),
    "--ipc": _namespace("IpcMode", "host-ipc", ("private", "shareable", "none", "")),
    "--label": _label,
    "--memory": _host("Memory", read_bytes),
    "--memory-reservation": _host("MemoryReservation", read_bytes),
    "--memory-swap": _host("MemorySwap", read_bytes),
    "--memory-swappiness": _host("MemorySwappiness", int),
    "--mount": _mount,
    "--name": lambda reader, value: reader.blueprint.aliases.append(value),
    "--net": _network,
    "--net-alias": lambda reader, value: reader.blueprint.aliases.append(value),
    "--network": _network,
    "--network-alias": lambda reader, value: reader.blueprint.aliases.append(value),
    "--oom-score-adj": _host("OomScoreAdj", lambda text: max(0, int(text))),
    "--pid": _namespace("PidMode", "host-pid", ("private", "")),
    "--pids-limit": _host("PidsLimit", int),
    "--publish": _publish,
    "--restart": _restart,
    "--runtime": _runtime,
    "--security-opt": _security,
    "--shm-size": _host("ShmSize", read_bytes),
    "--stop-signal": _config("StopSignal"),
    "--stop-timeout": lambda reader, value: reader.blueprint.config.update(StopTimeout=int(value)),
    "--sysctl": _pair("Sysctls"),
    "--tmpfs": _tmpfs,
    "--ulimit": _ulimit,
    "--user": _config("User"),
    "--userns": _namespace("UsernsMode", "", ("",)),
    "--uts": _namespace("UTSMode", "", ("",)),
    "--volume": _volume,
    "--workdir": lambda reader, value: setattr(reader.blueprint, "workdir", value),
}
