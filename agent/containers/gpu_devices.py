"""GPUs as device requests of a container: by NVIDIA's driver of the engine, or by CDI names where the engine has only those.

Docker knows the driver `nvidia` where nvidia-container-toolkit is installed; its runtime is configured there as a rule. CDI devices
(Docker 25 and newer; https://github.com/cncf-tags/container-device-interface) stand in files of `CDISpecDirs`, which
`nvidia-ctk cdi generate` writes; newer engines list them (`DiscoveredDevices`). Source: Docker Engine API, `GET /info` and
`POST /containers/create` (HostConfig.DeviceRequests). Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

CDI_KIND = "nvidia.com/gpu"
MAKE_CDI_DEVICES: Final = (
    "`nvidia-ctk cdi generate --device-name-strategy=uuid --output=/etc/cdi/nvidia.yaml` names them by UUID; "
    "it is to be run again when MIG instances change"
)


def request_gpus(uuids: Sequence[str]) -> dict[str, Any]:
    """The request to NVIDIA's driver for these GPUs and MIG instances."""
    return {"Driver": "nvidia", "DeviceIDs": list(uuids), "Capabilities": [["gpu"]]}


def request_cdi_devices(uuids: Sequence[str]) -> dict[str, Any]:
    """The request for the same by their CDI names."""
    return {"Driver": "cdi", "DeviceIDs": [f"{CDI_KIND}={uuid}" for uuid in uuids]}


def wants_cdi(info: Mapping[str, Any]) -> bool:
    """Whether an engine that says `info` of itself has GPUs as CDI devices only."""
    if "nvidia" in (info.get("Runtimes") or {}) or not info.get("CDISpecDirs"):
        return False
    devices = info.get("DiscoveredDevices")
    return devices is None or any(str(one.get("ID", "")).startswith(f"{CDI_KIND}=") for one in devices)
