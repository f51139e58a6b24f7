"""The container policy: what containers may have of this machine. Its owner decides, whatever a flow or a server says.

Nothing that would give the machine away is allowed unless it is named, in words (`AGENT_CONTAINER_ALLOW`) or in the policy
file (`agent.containers.policy_file`), whose rules become words:

| word | in the file | allows |
| --- | --- | --- |
| `mount:PATH` | `containers.mounts` | folders below PATH as volumes (the job's own folders always are) |
| `device:PATH` | `containers.devices` | the device, with `--device` |
| `cap:NAME` | `containers.capabilities` | the capability, with `--cap-add` |
| `runtime:NAME` | `containers.runtimes` | `--runtime NAME` |
| `image:PATTERN` | `images.allow` | only images that match one of the patterns; without any, all |
| `local-image:PATTERN` | `images.local` | images that are on this machine, without asking their registry |
| `docker-socket` | `containers.allow` | the engine's socket in job containers and container actions, as on GitHub: as good as root |
| `host-network`, `host-ipc`, `host-pid` | `containers.allow` | the machine's network, shared memory, processes |
| `unconfined` | `containers.allow` | `--security-opt seccomp=unconfined` and `apparmor=unconfined` |
| `privileged` | `containers.allow` | `--privileged`: as good as root |
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from agent.containers.image_names import is_allowed_by, is_denied_by
from agent.errors import RefusedError, UsageError

FLAGS = ("docker-socket", "host-network", "host-ipc", "host-pid", "unconfined", "privileged")
KINDS = {  # of words, and their place in the policy file
    "mount": "[containers] mounts",
    "device": "[containers] devices",
    "cap": "[containers] capabilities",
    "runtime": "[containers] runtimes",
    "image": "[images] allow",
    "local-image": "[images] local",
}
# What an engine gives by itself, and what training asks for: NUMA placement, pinned memory, debuggers.
_HARMLESS_CAPABILITIES = (
    *(
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "NET_RAW",
    ),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT", "SYS_NICE", "IPC_LOCK", "SYS_PTRACE"),
)


@dataclass(frozen=True, slots=True)
class ContainerPolicy:
    """The words that were granted, and what the policy file forbids beside."""

    granted: frozenset[str] = frozenset()
    file: str = ""  # the policy file; empty where there is none
    limits_images: bool = False  # only those that `image:` names, also when it names none
    denied_images: tuple[str, ...] = ()
    requires_pins: bool = False  # images only by digest
    denied_options: tuple[str, ...] = ()  # of `options:`, by their long names
    users: tuple[str, ...] | None = None  # as whom containers may run, the usual one first; None: anybody
    builds: bool = True  # whether container actions may bring a Dockerfile

    @classmethod
    def parse(cls, words: Iterable[str]) -> "ContainerPolicy":
        """The policy of `words` (the table above). Raises UsageError for an unknown one."""
        granted = frozenset(words)
        for word in sorted(granted):
            kind, separator, value = word.partition(":")
            if word not in FLAGS and not (separator and kind in KINDS and value):
                known = ", ".join([*FLAGS, *(f"{kind}:..." for kind in KINDS)])
                raise UsageError(
                    f"'{word}' is nothing that containers can be allowed", hint=f"known are {known}"
                )
        return cls(granted)

    def allows(self, word: str) -> bool:
        """Whether exactly this word was granted."""
        return word in self.granted

    def require(self, word: str, what: str, where: str, instead: str = "") -> None:
        """Raise RefusedError, naming the word that would allow `what`, unless it was granted."""
        if word not in self.granted:
            raise self._refuse(word, what, where, instead)

    def require_capability(self, name: str, where: str) -> None:
        """Raise RefusedError unless a container may have this capability."""
        plain = name.upper().removeprefix("CAP_")
        if plain not in _HARMLESS_CAPABILITIES:
            self.require(f"cap:{plain}", f"the capability {plain}", where)

    def require_device(self, path: str, where: str) -> str:
        """The true path of a device that a container may have. Raises RefusedError."""
        real = _true_path(path)
        if not self._covers("device", real):
            raise self._refuse(f"device:{path}", f"the device {path}", where)
        return real

    def require_folder(self, path: str, own: Iterable[str], where: str) -> str:
        """The true path of a folder that a container may see. Raises RefusedError.

        `own` are folders that need no leave. An engine must be told the true path: what was judged is what is mounted.
        """
        real = _true_path(path)
        if not (self._covers("mount", real) or any(_is_below(real, _true_path(root)) for root in own)):
            raise self._refuse(f"mount:{path}", f"the machine's {path} as a volume", where)
        return real

    def require_image(self, image: str, where: str) -> None:
        """Raise RefusedError unless containers of this image may run."""
        for pattern in self.denied_images:
            if is_denied_by(image, pattern):
                raise self._forbid(f"the image '{image}'", where, f'[images] deny = ["{pattern}"]')
        patterns = self._values("image")
        if (patterns or self.limits_images) and not is_allowed_by(image, patterns):
            raise self._refuse(f"image:{image}", f"the image '{image}'", where)

    def require_pin(self, image: str, where: str) -> None:
        """Raise RefusedError when images are only taken by digest and `image` has none."""
        if self.requires_pins and "@sha256:" not in image:
            rule, hint = "[images] require_pins", "`agent action lock` writes flow.lock"
            raise self._forbid(f"the image '{image}' without a digest", where, f"{rule}; {hint}")

    def require_build(self, where: str) -> None:
        """Raise RefusedError unless images may be built of what an action brings."""
        if not self.builds:
            raise self._forbid(
                "what an action's own Dockerfile makes", where, "[containers] dockerfiles = false"
            )

    def require_option(self, flag: str, where: str) -> None:
        """Raise RefusedError when this option of `docker create` is forbidden."""
        if flag in self.denied_options:
            raise self._forbid(f"the option '{flag}'", where, f'[containers] deny_options = ["{flag}"]')

    def choose_user(self, wanted: str, where: str) -> str:
        """As whom a container runs that would run as `wanted` (empty: as its image says). Raises RefusedError."""
        if self.users is None:
            return wanted
        if not wanted and self.users:
            return self.users[0]
        if wanted not in self.users:
            raise self._forbid(f"the user '{wanted}'", where, f"[containers] users = {list(self.users)}")
        return wanted

    def trusts_local(self, image: str) -> bool:
        """Whether a copy on this machine is as good as asking the registry, which may know who is asking."""
        return is_allowed_by(image, self._values("local-image"))

    def _refuse(self, word: str, what: str, where: str, instead: str = "") -> RefusedError:
        advice = f"{instead}, or let" if instead else "let"
        kind, _, value = word.partition(":")
        rule = f'{KINDS[kind]} = ["{value}"]' if value else f'[containers] allow = ["{word}"]'
        return RefusedError(
            f"this machine does not give containers {what}",
            where=where,
            hint=f"{advice} its owner allow it: {rule} in {self.file or 'policy.toml'}, or AGENT_CONTAINER_ALLOW={word}",
        )

    def _forbid(self, what: str, where: str, rule: str) -> RefusedError:
        return RefusedError(
            f"the policy of this machine doesn't allow {what}", where=where, hint=f"{self.file}: {rule}"
        )

    def _covers(self, kind: str, path: str) -> bool:
        return any(_is_below(path, _true_path(root)) for root in self._values(kind))

    def _values(self, kind: str) -> list[str]:
        return [word.partition(":")[2] for word in sorted(self.granted) if word.startswith(f"{kind}:")]


def _true_path(path: str) -> str:
    """Where `path` really lies: links (those of `/proc/PID/root` too), `..` and doubled slashes are resolved.

    Empty when this user may not look at a part of it: the engine, as root, would go on to wherever a link leads from there.
    """
    try:
        real = os.path.realpath(path, strict=True)
    except (FileNotFoundError, NotADirectoryError):
        real = os.path.realpath(path)  # an engine refuses what is not there
    except OSError:
        return ""
    return "/" + real.lstrip("/")


def _is_below(path: str, root: str) -> bool:
    return bool(root) and (path == root or path.startswith(root.rstrip("/") + "/"))
