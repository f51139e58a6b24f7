"""A version of a dataset as data: what it is called, the paths in it, and the digest that all of its content hangs on.

Server and command line read the same rules here.
"""

import hashlib
import re
from dataclasses import dataclass

from agent.errors import UsageError
from agent.visible import check_visible

LATEST = "latest"
MODES = ("644", "755")
_LONGEST_PATH_BYTES = 1024
_LONGEST_PART_BYTES = 255
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file of a version. `digest` is `sha256:<hex>` of its bytes; `mode` is one of `MODES`."""

    path: str
    size_bytes: int
    digest: str
    mode: str = "644"


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """`name`, `name:3`, `name:latest` or `name:TAG`."""

    name: str
    version: str = LATEST

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


class ManifestDigest:
    """The digest of a version, from its files in the order of their paths' bytes.

    One line a file, `MODE SIZE DIGEST PATH`; the SHA-256 over all of them. What is no tree of files is noticed on the way.
    """

    def __init__(self) -> None:
        self.files = 0
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        self._last = b""
        self._above: list[bytes] = []  # paths that the last one begins with: only they could be its folders

    def add(self, file: ManifestFile) -> None:
        """The next file. Raises UsageError for a path that is there twice, or under a file."""
        path = file.path.encode()
        assert path >= self._last, "files come in the order of their paths"
        if self.files and path == self._last:
            raise UsageError("a path is there twice", where=file.path)
        while self._above and not path.startswith(self._above[-1]):
            self._above.pop()
        if any(path.startswith(above + b"/") for above in self._above):
            raise UsageError("a path is a file and a folder at once", where=file.path)
        self._above.append(path)
        self._last = path
        self._hash.update(f"{file.mode} {file.size_bytes} {file.digest} ".encode() + path + b"\n")
        self.files += 1
        self.size_bytes += file.size_bytes

    def text(self) -> str:
        """`sha256:<hex>` of what was added."""
        return f"sha256:{self._hash.hexdigest()}"


def read_ref(text: str) -> DatasetRef:
    """The reference that a person or a flow has written. Raises UsageError."""
    name, colon, version = text.partition(":")
    if not name or (colon and not version):
        raise UsageError(
            f"'{text[:80]}' names no dataset", hint="write NAME, NAME:3, NAME:latest or NAME:TAG"
        )
    return DatasetRef(name, version or LATEST)


def version_number(version: str) -> int | None:
    """The number that a reference's version is; None when it is a tag, or `latest`."""
    return int(version) if version.isascii() and version.isdigit() and len(version) < 19 else None


def check_tag(tag: str) -> str:
    """`tag`, when a version may have it. Raises UsageError: a reference must say whether it means a tag."""
    if not _TAG.fullmatch(tag) or tag.isdigit() or tag == LATEST:
        raise UsageError(
            "this is no tag for a version of a dataset",
            where=tag[:80],
            hint="use letters, digits, dots, - and _; not `latest`, and no number",
        )
    return tag


def check_file(file: ManifestFile) -> ManifestFile:
    """`file`, when a version may have it. Raises UsageError."""
    check_path(file.path)
    if file.mode not in MODES or file.size_bytes < 0 or not _DIGEST.fullmatch(file.digest):
        raise UsageError("this is no file of a dataset", where=file.path)
    return file


def check_path(path: str) -> str:
    """`path`, when it is relative, stays in its folder and can be shown. Raises UsageError."""
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        raise UsageError("the path is not UTF-8", where=repr(path)[:120]) from None
    parts = path.split("/")
    if not encoded or len(encoded) > _LONGEST_PATH_BYTES:
        raise UsageError(f"a path has 1 to {_LONGEST_PATH_BYTES} bytes", where=path[:120])
    if any(part in ("", ".", "..") or len(part.encode()) > _LONGEST_PART_BYTES for part in parts):
        raise UsageError(
            "the path does not stay in the dataset, or a part of it is too long", where=path[:120]
        )
    return check_visible(path, "a file of a dataset")
