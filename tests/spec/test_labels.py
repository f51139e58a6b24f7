"""What labels say of a machine, and whether this one is it."""

import pytest

from agent.spec.labels import Platform, find_difference, find_misfit

MACHINE = Platform("Linux", "X64")


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
    assert find_misfit(("self-hosted", label), MACHINE) == (
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
    assert find_misfit((label,), MACHINE) == ""


def test_a_machine_that_is_not_githubs_ubuntu_is_told_of() -> None:
    def differs(label: str, version: str, arch: str = "X64") -> str:
        return find_difference(label, Platform("Linux", arch), lambda: version)

    debian, ubuntu = "Debian GNU/Linux 12 (bookworm)", "Ubuntu 24.04.2 LTS"
    assert differs("ubuntu-latest", debian) == (
        "ubuntu-latest: this machine is Debian GNU/Linux 12 (bookworm) on X64; jobs run on it as it is"
    )
    assert differs("ubuntu-latest", ubuntu) == ""
    assert differs("ubuntu-24.04", ubuntu) == ""
    assert differs("ubuntu-22.04", ubuntu).endswith("is Ubuntu 24.04.2 LTS on X64; jobs run on it as it is")
    assert "on ARM64" in differs("ubuntu-latest", ubuntu, "ARM64")
    assert differs("ubuntu-24.04-arm", ubuntu, "ARM64") == ""
    assert differs("self-hosted", debian) == ""
    assert differs("macos-15", debian) == ""
