"""What dstack's workflows of the tests speak of: packages, programs, GPUs, a web server, and the project that they are of."""

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from support.docker import BUSYBOX, DEBIAN
from support.git import make_repository
from support.nvml import FakeGpu, build_nvml, nvml_env
from support.wheels import make_wheel

FILES = Path(__file__).parent.parent / "end_to_end" / "dstack"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
# A program that tells its command line, in which what differs from run to run has a name.
_TELL = """#!/bin/sh
echo "> {name} $*" | sed "s/$PORT_0/PORT/; s/${{APP_TOKEN_0:-none}}/TOKEN/; s#$PWD#HERE#; s/.*/& ${{JUPYTER_TOKEN:+token}}/; s/ $//"
"""
_TELL_FILES = _TELL + "find .tensorboard -type f | sed 's#d/[^/]*/#d/RUN/#; s#^#> #' | sort\n"
# torchrun's way with its options and its environment: docs.pytorch.org, *torchrun (Elastic Launch)*, *Environment Variables*.
_TORCHRUN = f"""#!{sys.executable}
import argparse, os, subprocess, sys
parser = argparse.ArgumentParser()
parser.add_argument("--standalone", action="store_true")
parser.add_argument("--nnodes", type=int, default=1)
parser.add_argument("--nproc_per_node", "--nproc-per-node", type=int, default=1)
parser.add_argument("--node_rank", "--node-rank", type=int, default=0)
parser.add_argument("--master_addr", "--master-addr", default="127.0.0.1")
parser.add_argument("--master_port", "--master-port", type=int, default=29500)
parser.add_argument("program", nargs=argparse.REMAINDER)
asked = parser.parse_args()
def start(local):
    each = asked.nproc_per_node
    names = dict(RANK=asked.node_rank * each + local, LOCAL_RANK=local, GROUP_RANK=asked.node_rank, LOCAL_WORLD_SIZE=each,
        GROUP_WORLD_SIZE=asked.nnodes, WORLD_SIZE=asked.nnodes * each, MASTER_ADDR=asked.master_addr, MASTER_PORT=asked.master_port)
    return subprocess.Popen(["python3", *asked.program], env={{**os.environ, **{{name: str(value) for name, value in names.items()}}}})
sys.exit(max([process.wait() for process in [start(local) for local in range(asked.nproc_per_node)]]))
"""
_PACKAGES = {
    "jupyterlab": ("4.2.1", {"jupyter": _TELL.format(name="jupyter")}),
    "notebook": ("7.2.0", {"jupyter": _TELL.format(name="jupyter")}),
    "gradio": ("6.0", {}),
    "streamlit": ("1.40.0", {"streamlit": _TELL.format(name="streamlit")}),
    "fastapi": ("0.115.0", {}),
    "uvicorn": ("0.30.0", {"uvicorn": _TELL.format(name="uvicorn")}),
    "tensorboard": ("2.16.0", {"tensorboard": _TELL_FILES.format(name="tensorboard")}),
}


@dataclass(frozen=True)
class Around:
    """A project with all workflows of `FILES`, and the environment of whoever runs them."""

    project: Path
    environment: dict[str, str]
    ports: tuple[int, int]  # that nobody had when it was made

    def name_ports(self, line: str) -> str:
        """The line with FREE and FREER for these."""
        return line.replace(str(self.ports[0]), "FREE").replace(str(self.ports[1]), "FREER")


@contextlib.contextmanager
def make_around(folder: Path, image: str, engine: str) -> Iterator[Around]:
    """`image` is one of a registry that wants a login."""
    wheels, programs = folder / "wheels", folder / "bin"
    make_wheel(wheels, "small", "1", {"small.py": "WORD = 'small'\n"}, {})
    for name, (version, has) in _PACKAGES.items():
        make_wheel(wheels, name, version, {}, has)
    programs.mkdir()
    for name, text in (("openvscode-server", _TELL.format(name="editor")), ("torchrun", _TORCHRUN)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    gpus = nvml_env(build_nvml(folder / "nvml"), [FakeGpu(uuid="GPU-a"), FakeGpu(uuid="GPU-b")])
    environment = {
        **gpus, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder), "DOCKER_HOST": engine,
        "TMPDIR": str(folder), "COLOUR": "blue",
    }  # fmt: skip
    with _serve_word() as host:
        free, freer = _find_two_ports()
        words = {
            "WHEELS": str(wheels), "CLOSED": image, "DEBIAN": DEBIAN, "BUSYBOX": BUSYBOX, "HOST": host,
            "HERE": HERE, "FREER": str(freer), "FREE": str(free),
        }  # fmt: skip
        files = {
            _place(file): _fill_in(file.read_text(), words) for file in FILES.rglob("*.*") if file.is_file()
        }
        yield Around(make_repository(folder / "project", files, tags=()).folder, environment, (free, freer))


def _place(file: Path) -> str:
    """The code is the repository's, all else its `.dstack`."""
    path = file.relative_to(FILES)
    return path.relative_to("code").as_posix() if path.parts[0] == "code" else f".dstack/{path.as_posix()}"


def _fill_in(text: str, words: dict[str, str]) -> str:
    for word, instead in words.items():
        text = text.replace(word, instead)
    return text


def _find_two_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


@contextlib.contextmanager
def _serve_word() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Word) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


class _Word(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_there = self.path == "/word?x=1&y=2"
        self.send_response(200 if is_there else 404)
        self.end_headers()
        self.wfile.write(b"a word\n" if is_there else b"")

    def log_message(self, *_: object) -> None:
        """Says nothing."""
