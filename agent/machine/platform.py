"""The platform: this machine's system and processor, in GitHub's words."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from agent.spec.labels import Platform

# GitHub's words for `runner.os` and `runner.arch`, by Python's.
_OS = {"linux": "Linux", "darwin": "macOS", "win32": "Windows"}
_ARCH = {
    "x86_64": "X64",
    "amd64": "X64",
    "aarch64": "ARM64",
    "arm64": "ARM64",
    "i686": "X86",
    "armv7l": "ARM",
}


def find_platform() -> Platform:
    """What this machine is, as far as labels of `runs-on` may ask; `find_os_version` takes longer."""
    machine = os.uname().machine
    return Platform(_OS.get(sys.platform, sys.platform), _ARCH.get(machine.lower(), machine.upper()))


def find_os_version() -> str:
    """`Debian GNU/Linux 12 (bookworm)`; what the kernel says where there is no os-release file."""
    import platform  # it takes its time, and most runs need none of it

    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}".strip()


def sees_all_processes() -> bool:
    """Whether this process is in the machine's own PID namespace, where the kernel's threads are."""
    try:
        return Path("/proc/2/comm").read_text() == "kthreadd\n"
    except OSError:
        return False


def is_container() -> bool:
    """Whether this process is in a container: by the marks of its makers, or because its file system is laid over an image."""
    marks = ("/.dockerenv", "/run/.containerenv")
    if (
        any(map(os.path.lexists, marks))
        or "KUBERNETES_SERVICE_HOST" in os.environ
        or "container" in os.environ
    ):
        return True
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            left, _, right = line.partition(" - ")
            if left.split()[4:5] == ["/"]:
                return right.startswith("overlay ")
    return False
