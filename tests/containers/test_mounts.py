"""No text of a flow gets a folder or a device of the machine past the policy. No engine is needed."""

import ast
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.containers.description import make_blueprint, read_description
from agent.containers.engine import JOB_LABEL
from agent.containers.policy import ContainerPolicy
from agent.errors import AgentError, RefusedError, UsageError

ALLOWED_FOLDER, ALLOWED_DEVICE = "/usr/share", "/dev/net"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of the job's, in which the job has made links to wherever it wants to get."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "data").mkdir()
    (folder / "etc").symlink_to("/etc")
    (folder / "root").symlink_to("/proc/self/root")
    return str(folder)


def make(own: str, options: str = "", volumes: Sequence[str] = (), where: str = "services.db") -> Any:
    """The body with which an engine is asked for a container."""
    policy = ContainerPolicy.parse([f"mount:{ALLOWED_FOLDER}", f"device:{ALLOWED_DEVICE}"])
    wanted = read_description({"image": "x", "options": options, "volumes": list(volumes)}, where)
    assert wanted is not None
    return make_blueprint(wanted, policy, own_folders=[own], labels={JOB_LABEL: "j"}).to_json()


@pytest.mark.parametrize("where", ["container", "services.db"])
@pytest.mark.parametrize("kind", ["", "type=volume,", "type=VOLUME,"])
def test_a_volume_whose_source_is_a_path_is_no_folder_of_the_machine(own: str, kind: str, where: str) -> None:
    with pytest.raises(UsageError):
        make(own, f"--mount {kind}source=/etc,target=/x", where=where)


@pytest.mark.parametrize(
    "option",
    [
        "type=volume,source=a,target=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/etc",
        "type=volume,source=a,target=/x,volume-driver=local",
        "type=bind,source=/usr/share,target=/x,bind-propagation=shared",
        "type=npipe,source=/etc,target=/x",
        "type=bind,source=/usr/share,source=/etc,target=/x",
        "type=bind,source=/usr/share,src=/etc,target=/x",
        "type=bind,source=etc,target=/x",
        "type=bind,target=/x",
        "type=bind,source=/usr/share,target=x",
    ],
)
def test_what_nobody_has_looked_at_in_a_mount_is_refused(own: str, option: str) -> None:
    with pytest.raises(AgentError):
        make(own, f"--mount {option}")


def test_the_true_path_is_what_an_engine_is_told(own: str) -> None:
    body = make(own, f"-v {own}/../{Path(own).name}/data:/x", [f"{own}/root{own}/data:/y:ro"])
    assert [(mount["Source"], mount["ReadOnly"]) for mount in body["HostConfig"]["Mounts"]] == [
        (f"{own}/data", True),
        (f"{own}/data", False),
    ]


@pytest.mark.parametrize(
    "path", ["/dev/net/../vda", "/dev/./net/../mem", "//dev/mem", "net/tun", "/dev/network"]
)
def test_a_device_is_judged_by_where_it_is(own: str, path: str) -> None:
    with pytest.raises(RefusedError):
        make(own, f"--device {path}")


def test_an_allowed_device_is_given(own: str) -> None:
    assert make(own, "--device /dev/net/./tun:/dev/tap")["HostConfig"]["Devices"] == [
        {"PathOnHost": "/dev/net/tun", "PathInContainer": "/dev/tap", "CgroupPermissions": "rwm"}
    ]


def test_what_cannot_be_looked_at_is_not_mounted(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job hides a link in a folder that its agent may not search; root's engine would follow it."""
    lstat = os.lstat

    def deny_below(path: Any, *arguments: Any, **options: Any) -> os.stat_result:
        if "/locked/" in os.fspath(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        return lstat(path, *arguments, **options)

    (Path(own) / "locked").mkdir(exist_ok=True)
    monkeypatch.setattr(os, "lstat", deny_below)  # tests may run as root, whom nothing is denied
    with pytest.raises(RefusedError):
        make(own, volumes=[f"{own}/locked/link:/x"])
    with pytest.raises(RefusedError):
        make(f"{own}/locked/own", volumes=["/etc:/x"])


def test_a_tmpfs_has_its_size(own: str) -> None:
    body = make(own, "--mount type=tmpfs,destination=/x,tmpfs-size=64m,tmpfs-mode=1770")
    assert body["HostConfig"]["Tmpfs"] == {"/x": "size=64m,mode=1770"}
    assert body["HostConfig"]["Mounts"] == []


SOURCES = st.sampled_from(
    [
        *(
            "/etc",
            "//etc",
            "/",
            "/usr/share",
            "/usr/share/../..",
            "/usr/./share",
            "/usr/shared",
            "data",
            "./data",
            "",
        ),
        *(
            "OWN",
            "OWN/data",
            "OWN/etc",
            "OWN/etc/..",
            "OWN/root",
            "OWN/root/etc",
            "OWN/..",
            "OWN/nothing/../..",
        ),
        *(
            "/proc/self/root/etc",
            "/proc/1/root",
            "/proc/self/cwd",
            "/dev/fd/0",
            "/var/run/docker.sock",
            "../etc",
        ),
    ]
)
TARGETS = st.sampled_from(["/x", "/x/y", "x", "", "/etc", "/x:ro", "/x:z"])
SETTINGS = st.sampled_from(
    [
        "type=bind",
        "type=volume",
        "type=tmpfs",
        "type=",
        "type=Bind",
        " type=bind",
        "readonly",
        "ro=false",
        "a",
        "",
    ]
)
DEVICES = st.sampled_from(
    [
        "/dev/net/tun",
        "/dev/net",
        "/dev/net/../vda",
        "/dev/vda",
        "/dev/net/tun:/dev/x:r",
        "net",
        "/dev/../etc",
        "//dev/vda",
    ]
)


@st.composite
def mount_options(draw: st.DrawFn) -> str:
    source, target = draw(SOURCES), draw(TARGETS)
    names = draw(
        st.sampled_from([("source", "target"), ("src", "dst"), ("SRC", "destination"), ("", "target")])
    )
    parts = [f"{names[0]}={source}", f"{names[1]}={target}", *draw(st.lists(SETTINGS, max_size=3))]
    return f'--mount "{",".join(draw(st.permutations(parts)))}"'


VOLUMES = st.builds("{}:{}".format, SOURCES, TARGETS)
OPTIONS = st.one_of(
    mount_options(),
    st.builds("-v {}".format, VOLUMES),
    st.builds("--volume={}".format, VOLUMES),
    st.builds("--device {}".format, DEVICES),
    st.builds("--tmpfs {}".format, TARGETS),
)


@given(st.lists(OPTIONS, max_size=3).map(" ".join), st.lists(VOLUMES, max_size=2))
def test_however_a_mount_is_written_an_engine_gets_only_what_is_allowed(
    own: str, options: str, volumes: list[str]
) -> None:
    """The model: whatever comes out, looked at without a word of how it was written."""
    try:
        host = make(own, options.replace("OWN", own), [text.replace("OWN", own) for text in volumes])[
            "HostConfig"
        ]
    except AgentError:
        return
    for mount in host["Mounts"]:
        source = mount.get("Source", "")
        if mount["Type"] == "bind":
            assert lies_below(source, own, ALLOWED_FOLDER), source
        else:
            assert mount["Type"] == "volume"
            assert "/" not in source
            assert set(mount) <= {"Type", "Target", "ReadOnly", "Source", "VolumeOptions"}
    assert all(lies_below(device["PathOnHost"], ALLOWED_DEVICE) for device in host.get("Devices", []))
    assert not {"Binds", "VolumesFrom", "VolumeDriver", "DeviceCgroupRules"} & set(host)


def lies_below(path: str, *roots: str) -> bool:
    real = os.path.realpath(path)
    return path == real and any(os.path.commonpath([real, root]) == root for root in roots)


def test_every_mount_is_made_in_one_place() -> None:
    """`Mount(...)`, and the places of an engine's request that mount or lend something, stand in no other module."""
    made = {
        f"{file.stem}: {text}"
        for file in (Path(__file__).parents[2] / "agent").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        for text in said_by(node)
    }
    assert made == {"mounts: Mount", "blueprint: Mounts", "option_rules: Devices", "option_rules: Tmpfs"}


def said_by(node: ast.AST) -> list[str]:
    places = (
        "Mounts",
        "Binds",
        "VolumesFrom",
        "VolumeDriver",
        "Devices",
        "DeviceCgroupRules",
        "Tmpfs",
    )
    match node:
        case ast.Call(func=ast.Name("Mount")):
            return ["Mount"]
        case ast.Constant(value=str(text)) if text in places:
            return [text]
    return []
