"""Git's smart HTTP, reading only: what a request asks for, and the `git upload-pack` that answers it.

    GET  /OWNER/NAME[.git]/info/refs?service=git-upload-pack    the refs, or what the server can (protocol 2)
    POST /OWNER/NAME[.git]/git-upload-pack                      the objects

Source: gitprotocol-http(5). Nothing of a request is a path on disk, and of its headers one word reaches git: the version of
the protocol.
"""

import base64
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from agent.errors import DamagedError, RefusedError
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
    "pack.window=0",  # what is packed goes out as it is: no processor is spent on packing it better
    "pack.compression=1",
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


def read_token(authorization: str) -> str:
    """The token in a request's header, as git and GitHub's clients show it; empty where there is none.

    It is a password, of any user's, or stands behind `token` or `Bearer`.
    """
    scheme, _, shown = authorization.partition(" ")
    if scheme.lower() in ("bearer", "token"):
        return shown.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(shown.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def unpack_request(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """A request's body in pieces, unzipped where its `Content-Encoding` says so.

    Raises DamagedError for what is not packed so, and RefusedError above MOST_REQUEST_BYTES.
    """
    unpacker = Unpacker(encoding)
    for chunk in chunks:
        yield from unpacker.take(chunk)


class Unpacker:
    """Unzips a request piece by piece, and bounds what comes out. Raises as `unpack_request` does."""

    def __init__(self, encoding: str) -> None:
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise DamagedError("the request's body is packed in an unknown way", hint="send gzip or nothing")
        self._unzip = zlib.decompressobj(31) if encoding.endswith("gzip") else None
        self._size_bytes = 0

    def take(self, chunk: bytes) -> Iterator[bytes]:
        """What the next bytes give."""
        for piece in (chunk,) if self._unzip is None else self._unpack(self._unzip, chunk):
            self._size_bytes += len(piece)
            if self._size_bytes > MOST_REQUEST_BYTES:
                raise RefusedError(f"the request's body is over {MOST_REQUEST_BYTES} bytes")
            yield piece

    def _unpack(self, unzip: "zlib._Decompress", chunk: bytes) -> Iterator[bytes]:
        try:
            while chunk:
                yield unzip.decompress(chunk, CHUNK_BYTES)
                chunk = unzip.unconsumed_tail
        except zlib.error:
            raise DamagedError("the request's body is no gzip") from None


def _upload_pack(option: str, repository: Path) -> list[str]:
    settings = [part for setting in _SERVING for part in ("-c", setting)]
    return git_command(*settings, "upload-pack", "--strict", "--stateless-rpc", option, str(repository))
