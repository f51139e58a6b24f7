"""`options:` of a container, read by the rules of `docker create`.

Words are split as a shell splits them; a flag is `--name value`, `--name=value`, `-n value` or `-nvalue`. Each flag that is
known is a row of a table; one that is not is refused, for what nobody has looked at may give the machine away. What
gives it away is asked of the policy.
Source: docs.docker.com, *docker container create*; github.com/docker/cli `opts.go`.
"""

import shlex

from agent.containers.option_rules import (
    add_capability,
    add_device,
    add_env,
    add_label,
    add_mount,
    add_security,
    add_tmpfs,
    add_ulimit,
    add_volume,
    be_privileged,
    choose_gpus,
    choose_network,
    choose_runtime,
    drop_health_check,
    publish_port,
    set_restart,
    share_namespace,
)
from agent.containers.option_values import (
    Flag,
    OptionTarget,
    Switch,
    add_host,
    mean_nothing,
    read_bytes,
    read_duration,
    set_config,
    set_health,
    set_host,
    set_pair,
    switch_host,
)
from agent.errors import RefusedError, UsageError


class OptionReader(OptionTarget):
    """Applies one text of options to a blueprint. `own_folders` are those that need nobody's leave to be mounted."""

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
        flag = _ALIASES.get(flag, flag)
        self.policy.require_option(flag, self.where)
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


_ALIASES = {"--net": "--network", "--net-alias": "--network-alias"}
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


_SWITCHES: dict[str, Switch] = {
    "--detach": mean_nothing,
    "--init": switch_host("Init"),
    "--interactive": mean_nothing,
    "--no-healthcheck": drop_health_check,
    "--oom-kill-disable": switch_host("OomKillDisable"),
    "--privileged": be_privileged,
    "--quiet": mean_nothing,
    "--read-only": switch_host("ReadonlyRootfs"),
    "--rm": mean_nothing,
    "--tty": mean_nothing,
}

_FLAGS: dict[str, Flag] = {
    "--add-host": add_host("ExtraHosts"),
    "--cap-add": add_capability,
    "--cap-drop": add_host("CapDrop"),
    "--cpu-period": set_host("CpuPeriod", int),
    "--cpu-quota": set_host("CpuQuota", int),
    "--cpu-shares": set_host("CpuShares", int),
    "--cpus": set_host("NanoCpus", lambda text: int(float(text) * 10**9)),
    "--cpuset-cpus": set_host("CpusetCpus"),
    "--cpuset-mems": set_host("CpusetMems"),
    "--device": add_device,
    "--dns": add_host("Dns"),
    "--dns-option": add_host("DnsOptions"),
    "--dns-search": add_host("DnsSearch"),
    "--domainname": set_config("Domainname"),
    "--entrypoint": lambda target, value: setattr(target.blueprint, "entrypoint", [value]),
    "--env": add_env,
    "--expose": lambda _target, _value: None,  # containers of one network see all ports of each other
    "--gpus": choose_gpus,
    "--group-add": add_host("GroupAdd"),
    "--health-cmd": set_health("Test", lambda text: ["CMD-SHELL", text]),
    "--health-interval": set_health("Interval", read_duration),
    "--health-retries": set_health("Retries", int),
    "--health-start-period": set_health("StartPeriod", read_duration),
    "--health-timeout": set_health("Timeout", read_duration),
    "--hostname": set_config("Hostname"),
    "--ipc": share_namespace("IpcMode", "host-ipc", ("private", "shareable", "none", "")),
    "--label": add_label,
    "--memory": set_host("Memory", read_bytes),
    "--memory-reservation": set_host("MemoryReservation", read_bytes),
    "--memory-swap": set_host("MemorySwap", read_bytes),
    "--memory-swappiness": set_host("MemorySwappiness", int),
    "--mount": add_mount,
    "--name": lambda target, value: target.blueprint.aliases.append(value),
    "--network": choose_network,
    "--network-alias": lambda target, value: target.blueprint.aliases.append(value),
    "--oom-score-adj": set_host("OomScoreAdj", lambda text: max(0, int(text))),
    "--pid": share_namespace("PidMode", "host-pid", ("private", "")),
    "--pids-limit": set_host("PidsLimit", int),
    "--publish": publish_port,
    "--restart": set_restart,
    "--runtime": choose_runtime,
    "--security-opt": add_security,
    "--shm-size": set_host("ShmSize", read_bytes),
    "--stop-signal": set_config("StopSignal"),
    "--stop-timeout": lambda target, value: target.blueprint.config.update(StopTimeout=int(value)),
    "--sysctl": set_pair("Sysctls"),
    "--tmpfs": add_tmpfs,
    "--ulimit": add_ulimit,
    "--user": set_config("User"),
    "--userns": share_namespace("UsernsMode", "", ("",)),
    "--uts": share_namespace("UTSMode", "", ("",)),
    "--volume": add_volume,
    "--workdir": lambda target, value: setattr(target.blueprint, "workdir", value),
}
