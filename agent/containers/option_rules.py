"""Options with a meaning of their own, and those that would give the machine away: these ask the policy."""

import csv

from agent.containers.mounts import mount_asked_folder, mount_volume
from agent.containers.option_values import Flag, OptionTarget
from agent.containers.volumes import read_port, read_volume
from agent.errors import RefusedError, UsageError


def share_namespace(place: str, word: str, private: tuple[str, ...]) -> Flag:
    """A namespace: of its own, or the machine's, for which the policy is asked; never another container's."""

    def apply(target: OptionTarget, value: str) -> None:
        if value not in private:
            if value != "host" or not word:
                raise RefusedError(f"the option '{place}={value}' is not supported", where=target.where)
            hint = "make shared memory larger with `--shm-size 8g`" if word == "host-ipc" else ""
            target.policy.require(word, _NAMESPACES[word], target.where, hint)
        target.blueprint.host_config[place] = value

    return apply


_NAMESPACES = {
    "host-ipc": "the machine's shared memory",
    "host-pid": "the machine's processes",
    "host-network": "the machine's network",
}


def add_env(target: OptionTarget, value: str) -> None:
    """`--env NAME=VALUE`; without a value it would be the agent's own."""
    name, equals, text = value.partition("=")
    if not equals:
        raise UsageError(
            f"the option '--env {name}' would take the agent's own variable",
            where=target.where,
            hint=f"write --env {name}=VALUE, or use `env:`",
        )
    target.blueprint.env[name] = text


def add_label(target: OptionTarget, value: str) -> None:
    """`--label`; those by which a job's things are found are ours."""
    name, _, text = value.partition("=")
    if name.startswith("flow-agent."):
        raise RefusedError(f"the label '{name}' is the agent's own", where=target.where)
    target.blueprint.config.setdefault("Labels", {})[name] = text


def add_ulimit(target: OptionTarget, value: str) -> None:
    """`--ulimit name=soft[:hard]`."""
    name, _, limits = value.partition("=")
    soft, _, hard = limits.partition(":")
    target.append("Ulimits", {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)})


def add_capability(target: OptionTarget, value: str) -> None:
    """`--cap-add`."""
    target.policy.require_capability(value, target.where)
    target.append("CapAdd", value)


def add_device(target: OptionTarget, value: str) -> None:
    """`--device /dev/x[:/dev/y[:rwm]]`."""
    host, _, rest = value.partition(":")
    inside, _, rights = rest.partition(":")
    real = target.policy.require_device(host, target.where)
    entry = {"PathOnHost": real, "PathInContainer": inside or host, "CgroupPermissions": rights or "rwm"}
    target.append("Devices", entry)


def add_security(target: OptionTarget, value: str) -> None:
    """`--security-opt`: the two that free from confinement ask the policy."""
    if value not in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"):
        if value.replace("=", ":") not in ("seccomp:unconfined", "apparmor:unconfined"):
            raise RefusedError(f"the option '--security-opt {value}' is not supported", where=target.where)
        target.policy.require("unconfined", f"freedom from confinement ({value})", target.where)
    target.append("SecurityOpt", value)


def add_volume(target: OptionTarget, value: str) -> None:
    """`--volume`."""
    mount = read_volume(value, target.policy, target.own_folders, target.where)
    target.blueprint.mounts.append(mount)


def add_mount(target: OptionTarget, value: str) -> None:
    """`--mount type=bind,source=/x,target=/y,readonly`; without a type it is a volume."""
    parts = _read_mount(value, target.where)
    kind, inside, source = parts.get("type", "volume"), parts.get("target", ""), parts.get("source", "")
    read_only = parts.get("readonly", "false") in ("", "true", "1")
    if kind not in ("bind", "volume", "tmpfs") or not inside.startswith("/"):
        raise ValueError(value)
    if kind == "tmpfs":
        sizes = [f"{name}={parts[key]}" for key, name in _TMPFS.items() if key in parts]
        add_tmpfs(target, f"{inside}:{','.join(sizes)}")
    elif kind == "bind":
        target.blueprint.mounts.append(
            mount_asked_folder(
                source, inside, target.policy, target.own_folders, target.where, read_only=read_only
            )
        )
    else:
        target.blueprint.mounts.append(mount_volume(source, inside, target.where, read_only=read_only))


_TMPFS = {"tmpfs-size": "size", "tmpfs-mode": "mode"}
_MOUNT_KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_MOUNT_KNOWN = {"type", "source", "target", "readonly", "consistency", *_TMPFS}


def _read_mount(text: str, where: str) -> dict[str, str]:
    """The parts of a `--mount`, by one name each. Raises RefusedError for those that nobody has looked at, ValueError for two of one."""
    parts: dict[str, str] = {}
    try:
        pairs = next(csv.reader([text], strict=True), [])
    except csv.Error:
        raise ValueError(text) from None
    for pair in pairs:
        name, _, value = pair.partition("=")
        key = _MOUNT_KEYS.get(name.strip().lower(), name.strip().lower())
        if key not in _MOUNT_KNOWN:
            raise RefusedError(f"'{key}' of the option '--mount' is not supported", where=where)
        if key in parts:
            raise ValueError(text)
        parts[key] = value.strip()
    return parts


def add_tmpfs(target: OptionTarget, value: str) -> None:
    """`--tmpfs path[:settings]`."""
    path, _, settings = value.partition(":")
    target.blueprint.host_config.setdefault("Tmpfs", {})[path] = settings


def publish_port(target: OptionTarget, value: str) -> None:
    """`--publish`."""
    target.blueprint.ports.append(read_port(value, target.where))


def choose_gpus(target: OptionTarget, value: str) -> None:
    """GPUs are given by the agent, by name: this may ask for fewer of them, never for others."""
    given = target.blueprint.gpus
    wanted = value.removeprefix("device=").strip('"')
    if not given:
        raise RefusedError(
            "this job has no GPU to give to its container",
            where=target.where,
            hint="ask for one with `runs-on: [gpu]`; its container then has it without `--gpus`",
        )
    if wanted == "all":
        return
    if wanted.isdecimal() and not value.startswith("device="):
        if int(wanted) > len(given):
            raise RefusedError(f"this job has {len(given)} GPUs, not {wanted}", where=target.where)
        target.blueprint.gpus = given[: int(wanted)]
        return
    names = tuple(wanted.split(","))
    if not set(names) <= set(given):
        raise RefusedError(f"the GPUs of this job are {', '.join(given)}, not {wanted}", where=target.where)
    target.blueprint.gpus = names


def set_restart(target: OptionTarget, value: str) -> None:
    """`--restart policy[:count]`."""
    name, _, count = value.partition(":")
    policy: dict[str, object] = {"Name": "" if name == "no" else name}
    if count:
        policy["MaximumRetryCount"] = int(count)
    target.blueprint.host_config["RestartPolicy"] = policy


def choose_runtime(target: OptionTarget, value: str) -> None:
    """`--runtime`."""
    target.policy.require(f"runtime:{value}", f"the runtime {value}", target.where)
    target.blueprint.host_config["Runtime"] = value


def choose_network(target: OptionTarget, value: str) -> None:
    """`--network`: the job's own, or the machine's."""
    if value in ("bridge", "default"):
        return
    if value != "host":
        raise RefusedError(
            f"the option '--network {value}' is not supported",
            where=target.where,
            hint="the containers of a job share a network of their own",
        )
    target.policy.require("host-network", _NAMESPACES["host-network"], target.where)
    target.blueprint.network = "host"


def be_privileged(target: OptionTarget) -> None:
    """`--privileged`."""
    target.policy.require("privileged", "all privileges", target.where)
    target.blueprint.host_config["Privileged"] = True


def drop_health_check(target: OptionTarget) -> None:
    """`--no-healthcheck`."""
    target.blueprint.config["Healthcheck"] = {"Test": ["NONE"]}
