"""What labels say of a machine, and whether this one is it."""

import pytest

from agent.spec.labels import Platform, find_difference, find_misfit

DEBIAN = Platform("Linux", "X64", "Debian GNU/Linux 12 (bookworm)")
UBUNTU = Platform("Linux", "X64", "Ubuntu 24.04.2 LTS")


@pytest.mark.parametrize(
    ("label", "asks"),
    [
        ("macos-latest", "macOS"),
        ("macOS-15-xlarge", "macOS"),
        ("windows-latest", "Windows"),
        ("windows-2025", "Windows"),
        ("windows-11-arm", "Windows"),
        ("Windows", "Windows"),
        ("macOS", "macOS"),
        ("ARM64", "ARM64"),
        ("ubuntu-24.04-arm", "ARM64"),
        ("ubuntu-latest-arm", "ARM64"),
    ],
)
def test_a_machine_is_of_no_other_system_or_processor(label: str, asks: str) -> None:
    assert find_misfit(("self-hosted", label), DEBIAN) == (
        f"'runs-on: {label}' asks for {asks}, and this machine is {'X64' if asks == 'ARM64' else 'Linux'}"
    )


@pytest.mark.parametrize(
    "label",
    [
        "self-hosted",
        "Linux",
        "x64",
        "ubuntu-latest",
        "ubuntu-22.04",
        "ubuntu-slim",
        "gpu",
        "windows-lab",
        "x",
    ],
)
def test_other_labels_say_nothing_that_this_machine_is_not(label: str) -> None:
    assert find_misfit((label,), DEBIAN) == ""


def test_a_machine_that_is_not_githubs_ubuntu_is_told_of() -> None:
    assert find_difference("ubuntu-latest", DEBIAN) == (
        "ubuntu-latest: this machine is Debian GNU/Linux 12 (bookworm) on X64; jobs run on it as it is"
    )
    assert find_difference("ubuntu-latest", UBUNTU) == ""
    assert find_difference("ubuntu-24.04", UBUNTU) == ""
    assert find_difference("ubuntu-22.04", UBUNTU).endswith(
        "is Ubuntu 24.04.2 LTS on X64; jobs run on it as it is"
    )
    arm = Platform("Linux", "ARM64", "Ubuntu 24.04.2 LTS")
    assert "on ARM64" in find_difference("ubuntu-latest", arm)
    assert find_difference("ubuntu-24.04-arm", arm) == ""
    assert find_difference("self-hosted", DEBIAN) == ""
    assert find_difference("macos-15", DEBIAN) == ""
