"""`options`, volumes, ports, and what the policy says to them. No engine is needed."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.containers.blueprint import Blueprint
from agent.containers.description import check_image, make_blueprint, read_description
from agent.containers.engine import JOB_LABEL
from agent.containers.mounts import mount_own_folder, mount_volume
from agent.containers.option_values import read_bytes, read_duration
from agent.containers.options import OptionReader
from agent.containers.paths import PathMap
from agent.containers.policy import ContainerPolicy
from agent.containers.volumes import read_port
from agent.errors import AgentError, RefusedError, UsageError


def apply(text: str, *granted: str, gpus: tuple[str, ...] = (), own: str = "/own") -> Blueprint:
    blueprint = Blueprint("x", gpus=gpus)
    OptionReader(blueprint, ContainerPolicy.parse(granted), [own], "container").apply(text)
    return blueprint


@pytest.mark.parametrize(
    ("text", "place", "value"),
    [
        ("--cpus 1.5", "NanoCpus", 1_500_000_000),
        ("--cpus=2", "NanoCpus", 2_000_000_000),
        ("-c 512", "CpuShares", 512),
        ("-m 2g", "Memory", 2 << 30),
        ("-m2g", "Memory", 2 << 30),
        ("--memory-swap -1", "MemorySwap", -1),
        ("--shm-size 8gb", "ShmSize", 8 << 30),
        ("--ulimit nofile=1024:2048", "Ulimits", [{"Name": "nofile", "Soft": 1024, "Hard": 2048}]),
        ("--ulimit memlock=-1", "Ulimits", [{"Name": "memlock", "Soft": -1, "Hard": -1}]),
        ("--init", "Init", True),
        ("--init=false", "Init", None),
        ("-it --read-only", "ReadonlyRootfs", True),
        ("--cap-drop ALL --cap-add=CAP_SYS_NICE", "CapAdd", ["CAP_SYS_NICE"]),
        ("--tmpfs /run:size=1m", "Tmpfs", {"/run": "size=1m"}),
        ("--add-host a:1.2.3.4", "ExtraHosts", ["a:1.2.3.4"]),
        ("--restart on-failure:3", "RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 3}),
        ("--security-opt no-new-privileges", "SecurityOpt", ["no-new-privileges"]),
        ("--sysctl net.core.somaxconn=9", "Sysctls", {"net.core.somaxconn": "9"}),
        ("--ipc private", "IpcMode", "private"),
    ],
)
def test_an_option_is_told_to_the_engine(text: str, place: str, value: object) -> None:
    assert apply(text).host_config.get(place) == value


def test_several_options_make_one_health_check() -> None:
    text = '--health-cmd "pg_isready -U x" --health-interval 1m30s --health-timeout=500ms --health-retries 5'
    assert apply(text).config["Healthcheck"] == {
        "Test": ["CMD-SHELL", "pg_isready -U x"],
        "Interval": 90 * 10**9,
        "Timeout": 5 * 10**8,
        "Retries": 5,
    }


HOST_GIVING = [
    ("--privileged", "privileged"),
    ("--privileged=true", "privileged"),
    ("--pid=host", "host-pid"),
    ("--ipc host", "host-ipc"),
    ("--network=host", "host-network"),
    ("--net host", "host-network"),
    ("-v /:/host", "mount:/"),
    ("-v=/etc:/etc:ro", "mount:/etc"),
    ("--volume /var/run/docker.sock:/var/run/docker.sock", "mount:/var/run/docker.sock"),
    ("--mount type=bind,source=/etc,target=/x", "mount:/etc"),
    ("--cap-add SYS_ADMIN", "cap:SYS_ADMIN"),
    ("--cap-add=ALL", "cap:ALL"),
    ("--cap-add sys_module", "cap:SYS_MODULE"),
    ("--device /dev/sda", "device:/dev/sda"),
    ("--device=/dev/mem:/dev/x", "device:/dev/mem"),
    ("--security-opt seccomp=unconfined", "unconfined"),
    ("--security-opt apparmor:unconfined", "unconfined"),
    ("--runtime nvidia", "runtime:nvidia"),
]


@pytest.mark.parametrize(("text", "word"), HOST_GIVING)
def test_what_gives_the_machine_away_is_refused_and_the_way_to_allow_it_said(text: str, word: str) -> None:
    with pytest.raises(RefusedError) as error:
        apply(text)
    assert f"AGENT_CONTAINER_ALLOW={word}" in error.value.hint


@pytest.mark.parametrize(("text", "word"), HOST_GIVING)
def test_what_the_owner_allows_is_allowed(text: str, word: str) -> None:
    apply(text, word)


@pytest.mark.parametrize(
    "text",
    [
        *("--userns=host", "--uts host", "--cgroup-parent /x", "--volumes-from other", "--pid container:1"),
        *("--network container:x", "--ipc container:x", "--security-opt label=disable", "--link a:b"),
        *(
            "--security-opt seccomp=/etc/passwd",
            "--device-cgroup-rule x",
            "--label flow-agent.job=x",
            "--cidfile x",
        ),
        *(
            "--env-file /etc/passwd",
            "--label-file /etc/passwd",
            "--unheard-of 1",
            "--gpus all",
            "--cgroupns host",
        ),
    ],
)
def test_what_nobody_has_looked_at_is_refused(text: str) -> None:
    with pytest.raises(RefusedError):
        apply(text, "privileged", "host-network", "host-pid", "host-ipc", "unconfined")


@pytest.mark.parametrize(
    "text", ["image", "--cpus", "-x", "--env TOKEN", "--memory lots", "-v a", "-p x", "'open"]
)
def test_what_cannot_be_understood_is_said(text: str) -> None:
    with pytest.raises(UsageError):
        apply(text)


@given(st.text(max_size=60))
def test_no_text_of_options_is_a_bug(text: str) -> None:
    try:
        blueprint = apply(text)
    except AgentError:
        return
    body = json.dumps(blueprint.to_json())
    assert '"Privileged"' not in body
    assert '"Type": "bind"' not in body


def test_a_link_does_not_lead_out_of_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "link").symlink_to("/etc")
    with pytest.raises(RefusedError):
        apply(f"-v {tmp_path}/own/link:/x", own=str(tmp_path / "own"))
    with pytest.raises(RefusedError):
        apply(f"-v {tmp_path}/own/../other:/x", own=str(tmp_path / "own"))
    assert apply(f"-v {tmp_path}/own:/x:ro", own=str(tmp_path)).mounts == [
        mount_own_folder(f"{tmp_path}/own", "/x", read_only=True)
    ]


GPUS = ("GPU-a", "GPU-b")


@pytest.mark.parametrize(
    ("text", "given"),
    [("--gpus all", GPUS), ("--gpus 1", ("GPU-a",)), ("--gpus device=GPU-b", ("GPU-b",)), ("", GPUS)],
)
def test_a_container_has_its_jobs_gpus_by_name(text: str, given: tuple[str, ...]) -> None:
    body = apply(text, gpus=GPUS).to_json()
    assert body["HostConfig"]["DeviceRequests"] == [
        {"Driver": "nvidia", "DeviceIDs": list(given), "Capabilities": [["gpu"]]}
    ]
    assert f"NVIDIA_VISIBLE_DEVICES={','.join(given)}" in body["Env"]


@pytest.mark.parametrize("text", ["--gpus 3", "--gpus device=GPU-c", "--gpus device=0"])
def test_a_container_has_no_other_gpus(text: str) -> None:
    with pytest.raises(RefusedError):
        apply(text, gpus=GPUS)


@pytest.mark.parametrize("env", [{}, {"NVIDIA_VISIBLE_DEVICES": "all"}])
def test_without_gpus_an_image_or_a_flow_that_wants_all_has_none(env: dict[str, str]) -> None:
    body = Blueprint("nvidia/cuda", env=env).to_json()
    assert "NVIDIA_VISIBLE_DEVICES=void" in body["Env"]
    assert "DeviceRequests" not in body["HostConfig"]


@pytest.mark.parametrize(
    ("text", "container", "host", "address"),
    [
        ("80", "80/tcp", "", "127.0.0.1"),
        ("8080:80", "80/tcp", "8080", "127.0.0.1"),
        ("8080:80/udp", "80/udp", "8080", "127.0.0.1"),
        ("0.0.0.0:8080:80", "80/tcp", "8080", "0.0.0.0"),
        ("127.0.0.1::80", "80/tcp", "", "127.0.0.1"),
        ("[::1]:8080:80", "80/tcp", "8080", "::1"),
    ],
)
def test_ports(text: str, container: str, host: str, address: str) -> None:
    port = read_port(text, "ports")
    assert (port.container, port.host, port.address) == (container, host, address)


@pytest.mark.parametrize("text", ["90m", "1h1m1s1ms1us1ns", "0", "1.5s"])
def test_durations(text: str) -> None:
    assert read_duration(text) >= 0


@pytest.mark.parametrize("text", ["", "5", "1x", "s", "1s 2s", "-1s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError):
        read_duration(text)


@given(st.integers(0, 1 << 40))
def test_bytes_without_a_unit_are_bytes(number: int) -> None:
    assert read_bytes(str(number)) == number
    assert read_bytes(f"{number}k") == number * 1024


@pytest.mark.parametrize("image", ["-v", "--privileged", "a b", "a;b", "A/../b", "a\nb", "a@sha256:1", ""])
def test_what_is_no_image(image: str) -> None:
    with pytest.raises(UsageError):
        check_image(image, "container")


@pytest.mark.parametrize(
    "image",
    ["a", "a:1", "host:5000/a/b:1", "ghcr.io/x/y@sha256:" + "0" * 64, "python:3.12-slim", "localhost/a_b"],
)
def test_what_is_an_image(image: str) -> None:
    assert check_image(image, "container") == image


def describe(**fields: Any) -> Any:
    return read_description({"image": "x", **fields}, "services.db")


def test_a_named_volume_belongs_to_one_job() -> None:
    blueprint = make_blueprint(
        describe(volumes=["data:/data", "/cache"]),
        ContainerPolicy(),
        own_folders=[],
        labels={JOB_LABEL: "flow_1"},
    )
    assert blueprint.mounts == [
        mount_volume("flow_1_data", "/data", "volumes"),
        mount_volume("", "/cache", "volumes"),
    ]


def test_half_of_the_credentials_is_an_error() -> None:
    with pytest.raises(UsageError, match="have no password"):
        describe(credentials={"username": "me", "password": ""})
    assert describe(credentials={"username": "", "password": ""}).credentials is None
    assert "hunter2" not in repr(describe(credentials={"username": "me", "password": "hunter2"}))


def test_only_images_that_are_named_when_any_are() -> None:
    policy = ContainerPolicy.parse(["image:acme/*", "image:python:*"])
    policy.require_image("python:3.12", "container")
    with pytest.raises(RefusedError):
        policy.require_image("evil/acme/x", "container")


def test_an_unknown_word_of_the_policy_is_said() -> None:
    with pytest.raises(UsageError, match="'priviledged' is nothing"):
        ContainerPolicy.parse(["priviledged"])


def test_paths_lie_in_the_longest_folder_that_holds_them() -> None:
    paths = PathMap([("/jobs/j", "/__w"), ("/jobs/j/_temp/home", "/github/home")])
    assert paths.to_inside("/jobs/j/_temp/home/x") == "/github/home/x"
    assert paths.to_inside("/jobs/j") == "/__w"
    assert paths.to_inside("/jobs/jj") == "/jobs/jj"
    assert paths.to_host("/__w/a") == "/jobs/j/a"
