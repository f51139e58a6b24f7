"""Archives: zip files are written as a stream; zip and tar files are read with nothing taken on trust.

Names, kinds and sizes of all members are checked here before anything is written, on every version of Python alike.
"""

import errno
import gzip
import hashlib
import os
import shutil
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, TypeAlias

from _toolkit.git_names import GitNames, lay_links
from _toolkit.links import make_links
from _toolkit.names import Names
from _toolkit.plain import open_regular
from _toolkit.step import StepError, human

if TYPE_CHECKING:
    from _toolkit.artifacts import Artifact
    from _toolkit.trees import Entry

LARGEST_RATIO = 250  # unpacked to packed; text comes to 50
FREELY_BYTES = 256 << 20  # below this any ratio will do
_CHUNK_BYTES = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile, zipfile.LargeZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, struct.error,
    NotImplementedError, EOFError, ValueError,
)  # fmt: skip
_ZIP64_BYTES = 1 << 30  # room for what deflate may add
_LONGEST_LINK = 4096
_UTF8, _UNIX = 0x800, 3
_SAMPLE_BYTES = 256 << 10
_WORTH_PACKING = 0.9  # of a sample; above it packing costs more than it saves


class Sink(Protocol):
    """What an archive is written to, front to back."""

    def write(self, data: bytes, /) -> int: ...
    def flush(self) -> None: ...


Write: TypeAlias = Callable[[Sink], None]


def write_tree(sink: Sink, entries: "Iterable[Entry]", level: int = 1) -> None:
    """Write the entries of a tree as a zip to `sink`; what does not get smaller by it is not packed, and with `level` 0 nothing is."""
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for entry in entries:
            if entry.is_folder or entry.link:
                info = _Member(entry.name)
                kind = stat.S_IFLNK | 0o777 if entry.link else stat.S_IFDIR | 0o755
                info.external_attr = kind << 16
                archive.writestr(info, os.fsencode(entry.link))
                continue
            with open_regular(entry.source) as file:
                info = _Member(entry.name, _zip_time(entry.changed_ns / 1e9))
                info.compress_type = _choose_method(file) if level else zipfile.ZIP_STORED
                info._compresslevel = level or None  # type: ignore[attr-defined]  # noqa: SLF001  (the way until 3.13)
                info.external_attr = (stat.S_IFREG | entry.mode) << 16
                with archive.open(info, "w", force_zip64=True) as member:
                    shutil.copyfileobj(file, member, _CHUNK_BYTES)


class _Member(zipfile.ZipInfo):
    """A member whose name has the bytes that it has on this system; only one that is UTF-8 says so (APPNOTE.TXT, appendix D)."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802  (zipfile's own)
        raw = os.fsencode(self.filename)
        is_text = self.filename == raw.decode("utf-8", "replace")
        return raw, self.flag_bits | (_UTF8 if is_text and not raw.isascii() else 0)


def _name_of(member: zipfile.ZipInfo) -> str:
    """The member's name on this system; without the mark of UTF-8 what a Unix has written is bytes, and not code page 437."""
    name = member.orig_filename
    if name.isascii() or member.flag_bits & _UTF8 or member.create_system != _UNIX:
        return name
    return os.fsdecode(name.encode("cp437"))


def _choose_method(file: IO[bytes]) -> int:
    sample = file.read(_SAMPLE_BYTES)
    file.seek(0)
    is_worth_it = len(zlib.compress(sample, 1)) < _WORTH_PACKING * len(sample)
    return zipfile.ZIP_DEFLATED if is_worth_it else zipfile.ZIP_STORED


def unzip(archive: Path, folder: Path, *, with_links: bool = False) -> int:
    """Unpack the zip `archive` into the new `folder`; gives the number of files.

    Raises StepError, before anything is written, when a member would lie outside, is not a file or folder (or, when
    asked for, a link that stays inside), takes another's name, or when what comes out is out of proportion.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            names = Names()
            links: list[tuple[Path, str]] = []
            for member in members:
                _check_zip_member(member, with_links=with_links)
                names.add(_name_of(member), is_folder=member.is_dir())
            check_size(sum(member.file_size for member in members), archive.stat().st_size, folder.parent)
            folder.mkdir()
            for member in members:
                target = folder / _name_of(member)
                if member.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                elif stat.S_ISLNK(member.external_attr >> 16):
                    links.append((target, os.fsdecode(opened.read(member))))
                else:
                    with opened.open(member) as file:
                        _write_new(target, file, (member.external_attr >> 16 & 0o777) | 0o600)
            make_links(folder, links)
            return sum(not member.is_dir() for member in members)
    except _DAMAGE as error:
        raise StepError(f"the archive is damaged: {error}") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # that is a seek to before the beginning, by an offset that is wrong
            raise
        raise StepError("the archive is damaged: an offset is wrong") from None


def unpack_checked(archive: Path, folder: Path, artifact: "Artifact") -> str:
    """Unpack the artifact's zip into the new `folder`; gives what there is to say. Raises StepError when it is another than was kept."""
    with archive.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if artifact.digest and artifact.digest != digest:
        raise StepError(
            f"artifact '{artifact.name}' came as {digest}, and is {artifact.digest}",
            "it was changed on its way or in its store; nothing was unpacked",
        )
    count = unzip(archive, folder, with_links=True)
    return f"{count} {'file' if count == 1 else 'files'}, {human(archive.stat().st_size)}"


def unpack_tree(archive: Path, target: Path, *, is_file: bool) -> str:
    """Make the new `target` of the zip of a tree, which goes: a folder, or the one file that is in it. Gives what there is to say."""
    unpacked = archive.with_name(f"{archive.name}.files")
    count = unzip(archive, unpacked, with_links=True)
    packed = archive.stat().st_size
    archive.unlink()
    if is_file:
        (only,) = unpacked.iterdir()
        only.rename(target)
        unpacked.rmdir()
    else:
        unpacked.rename(target)
    return f"{count} {'file' if count == 1 else 'files'}, {human(packed)}"


def untar(archive: Path, folder: Path) -> int:
    """Unpack the tar.gz `archive` of a work tree into the new `folder`, as git would lay it down; gives the number of files and links.

    Files, folders and links, wherever these lead; anything else is a StepError.
    """
    folder.mkdir()
    names = GitNames()
    links: list[tuple[Path, str]] = []
    count = unpacked = 0
    packed = archive.stat().st_size
    try:
        with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as opened:
            for member in opened:
                name = member.name.removeprefix("./")
                if member.isdir() and name in {".", ""}:
                    continue
                names.add(name, is_folder=member.isdir())
                target = folder / name
                unpacked += member.size
                check_size(unpacked, packed, folder)
                count += not member.isdir()
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                elif member.issym():
                    links.append((target, member.linkname))
                elif member.type in {tarfile.REGTYPE, tarfile.AREGTYPE} and member.sparse is None:
                    file = opened.extractfile(member)
                    assert file is not None
                    _write_new(target, file, 0o755 if member.mode & 0o100 else 0o644)
                else:
                    raise StepError(f"the archive holds {name!a}, which is neither file, folder nor link")
    except _DAMAGE as error:
        raise StepError(f"the archive is damaged: {error}") from None
    lay_links(folder, links)
    return count


def check_size(unpacked: int, packed: int, folder: Path) -> None:
    """Raise StepError when unpacking would fill the disk, or gives far more than any honest archive does."""
    if unpacked > FREELY_BYTES and unpacked > LARGEST_RATIO * packed:
        raise StepError(
            f"the archive of {human(packed)} would unpack to {human(unpacked)}, which no honest one does",
            "if it does, upload it with compression-level: 0",
        )
    free = shutil.disk_usage(folder).free
    if unpacked > free:
        raise StepError(f"the archive needs {human(unpacked)}, and {human(free)} are free on this disk")


def _check_zip_member(member: zipfile.ZipInfo, *, with_links: bool) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    expected = stat.S_IFDIR if member.is_dir() else stat.S_IFREG
    if kind == stat.S_IFLNK and with_links and not member.is_dir() and member.file_size <= _LONGEST_LINK:
        expected = kind
    if kind not in {0, expected}:
        raise StepError(f"{_name_of(member)!a} in the archive is neither file nor folder")
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise StepError(f"{_name_of(member)!a} in the archive is packed in a way that is not read here")
    if member.flag_bits & 0x1:
        raise StepError(f"{_name_of(member)!a} in the archive is encrypted")


def _write_new(target: Path, file: IO[bytes], mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(target, flags, mode), "wb") as new:
        shutil.copyfileobj(file, new, _CHUNK_BYTES)


def _zip_time(seconds: float) -> tuple[int, int, int, int, int, int]:
    """A time that a zip can hold: 1980 to 2107."""
    moment = time.localtime(min(max(seconds, 315_619_200.0), 4_354_732_800.0))
    return (moment.tm_year, moment.tm_mon, moment.tm_mday, moment.tm_hour, moment.tm_min, moment.tm_sec)
