#!/usr/bin/env bash
# docker-py leaves a socket open for each connection to an engine that is refused
#
# `UnixHTTPConnection.connect` makes the socket, connects, and only then keeps it: when nobody listens (a socket file that a stopped engine left),
# the error that is raised holds the open socket until garbage is collected. A program that asks now and then whether the engine is back, and keeps
# the last error, collects descriptors; there is no client that could be closed.
#
# Version: docker 7.1.0, Python 3.11. No engine is needed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q docker==7.1.0
"$folder/venv/bin/python" -W ignore::ResourceWarning - "$folder/engine" <<'PYTHON'
import gc
import socket
import sys
from pathlib import Path

from docker import APIClient
from docker.errors import DockerException

path = sys.argv[1]


def count() -> int:
    return sum(str(link.readlink()).startswith("socket:") for link in Path("/proc/self/fd").iterdir() if link.is_symlink())


def ask() -> Exception:
    try:
        APIClient(base_url=f"unix://{path}", version="auto")
    except DockerException as error:
        return error
    raise AssertionError("changed: there is a client")


gc.disable()
stale = socket.socket(socket.AF_UNIX)
stale.bind(path)  # nobody listens: a connection is refused
before = count()
errors = [ask() for _ in range(5)]
refused = count() - before
assert refused >= 5, f"changed: {refused} sockets are left of 5 refused connections"
print(f"as seen: {refused} open sockets after 5 refused connections")
PYTHON
