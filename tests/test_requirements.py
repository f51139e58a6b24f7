"""The locked packages: that they are what pyproject.toml asks for, whole, by digest, and what is installed here."""

import re
import tomllib
from importlib.metadata import distribution, version
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCKS = {
    name: ROOT / folder / f"requirements/{name}.txt"
    for folder, names in {
        "install": ("agent", "server", "telemetry", "streams"),
        "tests": ("build", "dev"),
    }.items()
    for name in names
}
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
MACHINES = ["x86_64", "aarch64"]
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; (?P<marker>.+))?")


class Pin(NamedTuple):
    name: str
    version: str
    marker: str
    hashes: list[str]

    def is_for(self, environment: dict[str, str]) -> bool:
        return not self.marker or Marker(self.marker).evaluate(environment)


def read_lock(name: str) -> list[Pin]:
    """The pins of a file; each line of it is understood."""
    text = LOCKS[name].read_text().replace(" \\\n", " ")
    pins = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        pin, *hashes = re.split(r"\s+--hash=sha256:", line)
        match = PIN.fullmatch(pin)
        assert match, line
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in hashes)
        pins.append(Pin(match["name"], match["version"], match["marker"] or "", hashes))
    return pins


def read_ranges(name: str) -> list[Requirement]:
    """What pyproject.toml asks for."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, build = asked["project"], asked["build-system"]["requires"]
    extras = project["optional-dependencies"]
    wanted = {
        "agent": project["dependencies"],
        "server": project["dependencies"] + extras["server"],
        "telemetry": project["dependencies"] + extras["telemetry"],
        "streams": project["dependencies"] + extras["streams"],
        "build": build,
        "dev": [*project["dependencies"], *build, *(text for extra in extras.values() for text in extra)],
    }
    return [Requirement(text) for text in wanted[name]]


def environments() -> list[dict[str, str]]:
    return [
        {
            **default_environment(),
            "python_version": python,
            "python_full_version": f"{python}.0",
            "platform_machine": machine,
        }
        for python in PYTHONS
        for machine in MACHINES
    ]


@pytest.mark.parametrize("name", LOCKS)
def test_what_pyproject_asks_for_is_locked_within_its_range(name: str):
    for environment in environments():
        pins = {pin.name: Version(pin.version) for pin in read_lock(name) if pin.is_for(environment)}
        for wanted in read_ranges(name):
            locked = pins.get(canonicalize_name(wanted.name))
            assert locked is not None, f"{wanted} is not locked: make lock"
            assert locked in wanted.specifier, f"{wanted} is locked at {locked}: make lock"


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_digests_and_the_version_that_the_tests_have(name: str):
    tested = {(pin.name, pin.version) for pin in read_lock("dev")}
    for pin in read_lock(name):
        assert pin.hashes, pin
        assert (pin.name, pin.version) in tested


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_index_and_no_address(name: str):
    text = LOCKS[name].read_text()
    assert "index" not in text.lower()
    assert "://" not in text


def test_what_is_installed_here_is_what_is_locked():
    for pin in read_lock("dev"):
        if pin.is_for({**default_environment()}):
            assert version(pin.name) == pin.version, f"{pin.name}: run tests/set-up .venv server,dev"


def test_what_locked_packages_need_is_locked_too():
    """In this environment: pip itself refuses what is missing, once it is installed."""
    for name in LOCKS:
        pins = {pin.name: pin for pin in read_lock(name) if pin.is_for({**default_environment()})}
        for wanted in [Requirement(text) for pin in pins for text in distribution(pin).requires or ()]:
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                pin = pins[canonicalize_name(wanted.name)]
                assert pin.version in wanted.specifier


def test_every_range_has_a_lower_end_and_no_upper():
    """Wide: whoever installs us beside other things has room."""
    for name in LOCKS:
        for wanted in read_ranges(name):
            assert [one.operator for one in wanted.specifier] == [">="], wanted
