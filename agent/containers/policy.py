"""What containers may have of this machine. The agent's owner decides, whatever a flow or a server says.

Nothing that would give the machine away is allowed unless it is named, word by word:

| word | allows |
| --- | --- |
| `mount:PATH` | folders below PATH as volumes (the job's own folders always are) |
| `device:PATH` | the device, with `--device` |
| `cap:NAME` | the capability, with `--cap-add` |
| `runtime:NAME` | `--runtime NAME` |
| `image:PATTERN` | only images that match one of the patterns; without any, all |
| `local-image:PATTERN` | images that are on this machine, without asking their registry |
| `docker-socket` | the engine's socket in job containers and container actions, as on GitHub: as good as root |
| `host-network`, `host-ipc`, `host-pid` | the machine's network, shared memory, processes |
| `unconfined` | `--security-opt seccomp=unconfined` and `apparmor=unconfined` |
| `privileged` | `--privileged`: as good as root |
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agent.errors import RefusedError, UsageError

_FLAGS = ("docker-socket", "host-network", "host-ipc", "host-pid", "unconfined", "privileged")
_KINDS = ("mount", "device", "cap", "runtime", "image", "local-image")
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
    """The words that were granted."""

    granted: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, words: Iterable[str]) -> "ContainerPolicy":
        """The policy of `words` (the table above). Raises UsageError for an unknown one."""
        granted = frozenset(words)
        for word in sorted(granted):
            kind, separator, value = word.partition(":")
            if word not in _FLAGS and not (separator and kind in _KINDS and value):
                known = ", ".join([*_FLAGS, *(f"{kind}:..." for kind in _KINDS)])
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
            raise _refuse(word, what, where, instead)

    def require_capability(self, name: str, where: str) -> None:
        """Raise RefusedError unless a container may have this capability."""
        plain = name.upper().removeprefix("CAP_")
        if plain not in _HARMLESS_CAPABILITIES:
            self.require(f"cap:{plain}", f"the capability {plain}", where)

    def require_device(self, path: str, where: str) -> None:
        """Raise RefusedError unless a container may have the device."""
        if not self._covers("device", path):
            raise _refuse(f"device:{path}", f"the device {path}", where)

    def require_folder(self, path: str, own: Iterable[str], where: str) -> str:
        """The true path of a folder that a container may see: links are resolved first. Raises RefusedError."""
        real = os.path.realpath(path)
        if not (self._covers("mount", real) or any(_is_below(real, os.path.realpath(root)) for root in own)):
            raise _refuse(f"mount:{path}", f"the machine's {path} as a volume", where)
        return real

    def require_image(self, image: str, where: str) -> None:
        """Raise RefusedError unless containers of this image may run."""
        patterns = self._values("image")
        if patterns and not _matches(image, patterns):
            raise _refuse(f"image:{image}", f"the image '{image}'", where)

    def trusts_local(self, image: str) -> bool:
        """Whether a copy on this machine is as good as asking the registry, which may know who is asking."""
        return _matches(image, self._values("local-image"))

    def _covers(self, kind: str, path: str) -> bool:
        return any(_is_below(path, os.path.realpath(root)) for root in self._values(kind))

    def _values(self, kind: str) -> list[str]:
        return [word.partition(":")[2] for word in sorted(self.granted) if word.startswith(f"{kind}:")]


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _matches(image: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(image, pattern) for pattern in patterns)


def _refuse(word: str, what: str, where: str, instead: str = "") -> RefusedError:
    advice = f"{instead}, or let" if instead else "let"
    return RefusedError(
        f"this machine does not give containers {what}",
        where=where,
        hint=f"{advice} its owner allow it: AGENT_CONTAINER_ALLOW={word}",
    )
