"""The platform: this machine's system and processor, in GitHub's words."""

import platform
import sys

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
    """What this machine is, as far as labels of `runs-on` may ask."""
    return Platform(
        os=_OS.get(sys.platform, sys.platform),
        arch=_ARCH.get(platform.machine().lower(), platform.machine().upper()),
        os_version=_find_os_version(),
    )


def _find_os_version() -> str:
    """`Debian GNU/Linux 12 (bookworm)`; what the kernel says where there is no os-release file."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}".strip()
