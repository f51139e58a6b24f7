"""How a container is given GPUs: by NVIDIA's driver, or by CDI names where the engine has only those."""

from typing import Any

import pytest

from agent.containers.blueprint import Blueprint
from agent.containers.docker_client import describe_failure
from agent.containers.gpu_devices import wants_cdi

NVIDIA = {"runc": {}, "nvidia": {}}
RUNC = {"runc": {}}
CDI = ["/etc/cdi", "/var/run/cdi"]
KNOWN = [{"Source": "cdi", "ID": "nvidia.com/gpu=GPU-a"}]
OTHERS = [{"Source": "cdi", "ID": "intel.com/gpu=card0"}]


@pytest.mark.parametrize(
    ("info", "is_cdi"),
    [
        ({"Runtimes": RUNC}, False),
        ({"Runtimes": NVIDIA, "CDISpecDirs": CDI, "DiscoveredDevices": KNOWN}, False),
        ({"Runtimes": RUNC, "CDISpecDirs": []}, False),
        ({"Runtimes": RUNC, "CDISpecDirs": CDI}, True),
        ({"Runtimes": RUNC, "CDISpecDirs": CDI, "DiscoveredDevices": KNOWN}, True),
        ({"Runtimes": RUNC, "CDISpecDirs": CDI, "DiscoveredDevices": OTHERS}, False),
        ({"Runtimes": RUNC, "CDISpecDirs": CDI, "DiscoveredDevices": []}, False),
        ({}, False),
    ],
)
def test_cdi_is_for_engines_that_have_no_runtime_of_nvidias(info: dict[str, Any], is_cdi: bool) -> None:
    assert wants_cdi(info) is is_cdi


def test_gpus_and_instances_are_asked_for_by_uuid() -> None:
    body = Blueprint("image", gpus=("GPU-a", "MIG-b")).to_json()
    assert body["HostConfig"]["DeviceRequests"] == [
        {"Driver": "nvidia", "DeviceIDs": ["GPU-a", "MIG-b"], "Capabilities": [["gpu"]]}
    ]
    body = Blueprint("image", gpus=("GPU-a", "MIG-b"), has_cdi_gpus=True).to_json()
    assert body["HostConfig"]["DeviceRequests"] == [
        {"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=GPU-a", "nvidia.com/gpu=MIG-b"]}
    ]


@pytest.mark.parametrize(
    "said",
    [
        "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=GPU-a",
        'could not select device driver "cdi" with capabilities: []',
    ],
)
def test_an_engine_that_knows_no_such_device_says_what_to_do(said: str) -> None:
    error = describe_failure(said)
    assert error.what.startswith("the container engine knows no CDI device of this job's GPUs")
    assert "nvidia-ctk cdi generate --device-name-strategy=uuid" in error.what
