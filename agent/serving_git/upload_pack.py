"""Git's smart HTTP, reading only: what a request asks for, and the `git upload-pack` that answers it.

    GET  /OWNER/NAME[.git]/info/refs?service=git-upload-pack    the refs, or what the server can (protocol 2)
    POST /OWNER/NAME[.git]/git-upload-pack                      the objects

Source: gitprotocol-http(5). Nothing of a request is a path on disk, and of its headers one word reaches git: the version of
the protocol.
"""

import re
from pathlib import Path
from typing import Final

from agent.serving_git.commands import git_command, own_environment

SERVICE: Final = "git-upload-pack"
ADVERTISEMENT: Final = f"application/x-{SERVICE}-advertisement"
REQUEST: Final = f"application/x-{SERVICE}-request"
RESULT: Final = f"application/x-{SERVICE}-result"
CHUNK_BYTES: Final = 64 << 10
MOST_REQUEST_BYTES: Final = 64 << 20  # of commits that a client says it has or wants
_IDLE_SECONDS: Final = 120  # a client that says nothing more in the middle of its request
# A repository has nothing but what its run may see, so every commit of it may be asked for by name, as `actions/checkout`
# does; filters are for sparse and partial clones. Who reads no more is noticed within the seconds of `keepAlive`.
_SERVING: Final = (
    "uploadpack.allowAnySHA1InWant=true",
    "uploadpack.allowFilter=true",
    "uploadpack.keepAlive=5",
)
_PROTOCOL: Final = re.compile(r"version=[0-2]")


def advertise_command(repository: Path) -> list[str]:
    """The git that says what there is."""
    return _upload_pack("--advertise-refs", repository)


def answer_command(repository: Path) -> list[str]:
    """The git that reads a request and sends objects."""
    return _upload_pack(f"--timeout={_IDLE_SECONDS}", repository)


def protocol_environment(git_protocol: str) -> dict[str, str]:
    """Git's environment; `git_protocol` is the request's header."""
    environment = own_environment()
    if _PROTOCOL.fullmatch(git_protocol):
        environment["GIT_PROTOCOL"] = git_protocol
    return environment


def opening(git_protocol: str) -> bytes:
    """What stands before the refs: the service's name, which protocol 2 leaves out only inside of git's own answer."""
    line = f"# service={SERVICE}\n"
    if git_protocol == "version=2":
        return b""
    return f"{len(line) + 4:04x}{line}0000".encode()


def _upload_pack(option: str, repository: Path) -> list[str]:
    settings = [part for setting in _SERVING for part in ("-c", setting)]
    return git_command(*settings, "upload-pack", "--strict", "--stateless-rpc", option, str(repository))
