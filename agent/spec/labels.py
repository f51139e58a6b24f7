"""Labels of `runs-on` and what they say of the machine itself: its system, its processor, and whether it is one of GitHub's.

    linux, windows, macos        the system                x64, x86, arm64, arm       the processor
    ubuntu-latest, ubuntu-24.04  GitHub's Linux machines   ubuntu-24.04-arm           the same on ARM64
    windows-2025, macos-15       GitHub's others

https://docs.github.com/actions/reference/runners/github-hosted-runners. All other labels are names that owners give, and
say nothing that could be checked. A machine can't be of another system or processor; that it is another Linux than
GitHub's is worth a line and no more: most jobs for `ubuntu-latest` run on any.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_SYSTEMS = {"linux": "Linux", "windows": "Windows", "macos": "macOS"}
_PROCESSORS = {"x64": "X64", "x86": "X86", "arm64": "ARM64", "arm": "ARM"}
_HOSTED = re.compile(r"(ubuntu|windows|macos)-(?:latest|slim|(\d+(?:\.\d+)?))(-.+)?")
_HOSTED_SYSTEMS = {"ubuntu": "Linux", "windows": "Windows", "macos": "macOS"}


@dataclass(frozen=True, slots=True)
class Platform:
    """A machine's system and processor in GitHub's words (`runner.os`, `runner.arch`)."""

    os: str
    arch: str


@dataclass(frozen=True, slots=True)
class LabelClaim:
    """What a label says of the machine; empty: nothing of this. `ubuntu` is the release, `latest` for whichever."""

    os: str = ""
    arch: str = ""
    ubuntu: str = ""


def read_label(label: str) -> LabelClaim:
    """What `label` says of the machine."""
    word = label.lower()
    hosted = _HOSTED.fullmatch(word)
    if hosted is None:
        return LabelClaim(os=_SYSTEMS.get(word, ""), arch=_PROCESSORS.get(word, ""))
    family, release, more = hosted.groups()
    arch = "ARM64" if more and "arm" in more.split("-") else ""
    return LabelClaim(_HOSTED_SYSTEMS[family], arch, (release or "latest") if family == "ubuntu" else "")


def find_misfit(labels: Iterable[str], machine: Platform) -> str:
    """Why this machine can't be what the labels say, as a sentence; empty when it can."""
    for label in labels:
        claim = read_label(label)
        for said, actual in ((claim.os, machine.os), (claim.arch, machine.arch)):
            if said and said != actual:
                return f"'runs-on: {label}' asks for {said}, and this machine is {actual}"
    return ""


def find_difference(label: str, machine: Platform, find_version: Callable[[], str]) -> str:
    """How this machine differs from GitHub's of that label, as a sentence; empty when it does not, or it is no such label.

    `find_version` finds the system's release for people: `Ubuntu 24.04 LTS`.
    """
    claim = read_label(label)
    if not claim.ubuntu or claim.os != machine.os:
        return ""
    release = "" if claim.ubuntu == "latest" else f" {claim.ubuntu}"
    version = find_version()
    is_ubuntu = version.startswith(f"Ubuntu{release}")
    if is_ubuntu and machine.arch == (claim.arch or "X64"):
        return ""
    return f"{label}: this machine is {version or machine.os} on {machine.arch}; jobs run on it as it is"
