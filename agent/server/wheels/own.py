"""The wheel of what runs here, made from the files that run: agent and server always agree.

It is made the same way from an installed wheel and from a checkout, with no build tool, and is the same bytes each time: the
files in order, one date, and nothing compressed, because what a compressor makes differs between builds of zlib. Format:
https://packaging.python.org/en/latest/specifications/binary-distribution-format/
"""

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import agent
from agent import __version__
from agent.config import bundled
from agent.errors import AgentError

DISTRIBUTION = "gpu-flow-agent"
_BUNDLED = ("actions", "examples", "install", "systemd")  # as in pyproject.toml
_KEPT_METADATA = ("METADATA", "entry_points.txt", "licenses/LICENSE")
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip file can say


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel by its file name; `digest` is its SHA-256 in hexadecimal."""

    name: str
    content: bytes = field(repr=False)
    digest: str


@cache
def own_wheel() -> Wheel:
    """The wheel of what runs here, made once. Raises AgentError when it can't be made."""
    info = f"{DISTRIBUTION.replace('-', '_')}-{__version__}"
    files = dict(sorted([*_code(), *_metadata(f"{info}.dist-info")]))
    content = _pack(files, f"{info}.dist-info/RECORD")
    return Wheel(f"{info}-py3-none-any.whl", content, hashlib.sha256(content).hexdigest())


def _code() -> Iterator[tuple[str, bytes]]:
    package = Path(agent.__file__).parent
    yield from _walk(package, "agent", leave_out="_bundled")
    for name in _BUNDLED:
        yield from _walk(bundled(name), f"agent/_bundled/{name}")


def _walk(folder: Path, place: str, leave_out: str = "") -> Iterator[tuple[str, bytes]]:
    """All files below a folder by their place in the wheel, but hidden ones and what Python compiled."""
    for entry in folder.iterdir():
        if entry.name.startswith(".") or entry.name in ("__pycache__", leave_out) or entry.suffix == ".pyc":
            continue
        if entry.is_dir():
            yield from _walk(entry, f"{place}/{entry.name}")
        else:
            yield f"{place}/{entry.name}", entry.read_bytes()


def _metadata(folder: str) -> Iterator[tuple[str, bytes]]:
    installed = _find_distribution()
    for name in _KEPT_METADATA:
        text = installed.read_text(name)
        if text is None:
            raise AgentError(f"the installed {DISTRIBUTION} lacks its {name}", hint="install it again")
        yield f"{folder}/{name}", text.encode()
    wheel = f"Wheel-Version: 1.0\nGenerator: {DISTRIBUTION} {__version__}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    yield f"{folder}/WHEEL", wheel.encode()


def _find_distribution() -> Distribution:
    """What was installed here. Raises AgentError when it is not what runs."""
    try:
        installed = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        raise AgentError(
            "this server runs from a folder that was not installed, so it has no wheel to hand out",
            hint="install it: pip install --editable FOLDER",
        ) from None
    if installed.version != __version__:
        raise AgentError(
            f"this server runs {__version__} and {installed.version} is installed: it has no wheel to hand out",
            hint="after an upgrade restart the server; of a checkout, install it again",
        )
    return installed


def _pack(files: dict[str, bytes], record: str) -> bytes:
    rows = [f"{name},sha256={_hash(content)},{len(content)}\n" for name, content in files.items()]
    rows.append(f"{record},,\n")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, content in [*files.items(), (record, "".join(rows).encode())]:
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return packed.getvalue()


def _hash(content: bytes) -> str:
    """A digest as RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
