"""Archives that mean harm, and snapshots: class 1 of the attacks, against the code that unpacks and through the action."""

import contextlib
import gzip
import io
import stat
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from _toolkit import archive
from _toolkit.archive import untar, unzip
from _toolkit.folders import move_into
from _toolkit.names import check_name
from _toolkit.step import StepError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.results_service import ResultsService

from .conftest import Step


def zip_of(*members: tuple[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda _: None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            change(info)
            made.writestr(info, content)
    return out.getvalue()


def tar_of(*members: tuple[str, object], change: Callable[[tarfile.TarInfo], None] = lambda _: None) -> bytes:
    """A tar.gz; a member's content is bytes, None for a folder, or text for a link's target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as made:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)  # type: ignore[arg-type]
            change(info)
            made.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


BAD_NAMES = [
    "../evil",
    "a/../../evil",
    "/evil",
    "//evil",
    "a//b",
    "./../evil",
    "a/./b",
    "..",
    "C:/evil",
    "c:evil",
    "..\\evil",
    "a\\b",
    "a\nb",
    "a\x1b[2Jb",
    "a\u202eb",
    "x" * 300,
    "/".join(["x" * 200] * 30),
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_zip_with_a_bad_name_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of(("good", b"x"), (name, b"x")))
    with pytest.raises(StepError, match="nothing was unpacked"):
        unzip(tmp_path / "a.zip", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_nul_in_a_name_does_not_hide_its_rest(tmp_path: Path) -> None:
    content = zip_of(("good.txt#../x", b"x")).replace(b"#", b"\0")
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(StepError):
        unzip(tmp_path / "a.zip", tmp_path / "out")


AS_GIT_HAS_THEM = {"C:/evil", "c:evil", "..\\evil", "a\\b", "a\nb", "a\x1b[2Jb", "a\u202eb"}


@pytest.mark.parametrize("name", [name for name in BAD_NAMES if name not in AS_GIT_HAS_THEM])
def test_a_tar_with_a_bad_name_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(tar_of((name, b"x")))
    name = name.removeprefix("./")
    with pytest.raises(StepError, match="nothing was unpacked"):
        untar(tmp_path / "a.tgz", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tgz", "out"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_a_zip_with_a_link_or_a_device_is_refused(kind: int, tmp_path: Path) -> None:
    def change(info: zipfile.ZipInfo) -> None:
        info.external_attr = (kind | 0o777) << 16

    (tmp_path / "a.zip").write_bytes(zip_of(("link", b"/etc/passwd"), change=change))
    with pytest.raises(StepError, match="neither file nor folder"):
        unzip(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"])
def test_a_tar_with_a_hard_link_or_a_device_is_refused(kind: bytes, tmp_path: Path) -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, "/etc/passwd"

    (tmp_path / "a.tgz").write_bytes(tar_of(("evil", None), change=change))
    with pytest.raises(StepError, match="neither file, folder nor link"):
        untar(tmp_path / "a.tgz", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "x/../../../outside"])
def test_a_link_in_the_zip_of_a_tree_stays_inside_or_is_refused(target: str, tmp_path: Path) -> None:
    def change(info: zipfile.ZipInfo) -> None:
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    (tmp_path / "bad.zip").write_bytes(zip_of(("sub/link", target.encode()), change=change))
    with pytest.raises(StepError, match="leads out"):
        unzip(tmp_path / "bad.zip", tmp_path / "out", with_links=True)
    (tmp_path / "long.zip").write_bytes(zip_of(("link", b"x" * 5000), change=change))
    with pytest.raises(StepError, match="neither file nor folder"):
        unzip(tmp_path / "long.zip", tmp_path / "long", with_links=True)
    (tmp_path / "good.zip").write_bytes(zip_of(("link", b"sub/f"), change=change))
    assert unzip(tmp_path / "good.zip", tmp_path / "good", with_links=True) == 1
    assert (tmp_path / "good" / "link").readlink() == Path("sub/f")


def test_a_tar_cannot_write_through_its_own_link(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "a.tgz").write_bytes(tar_of(("link", str(tmp_path / "target")), ("link/evil", b"x")))
    with pytest.raises(StepError):
        untar(tmp_path / "a.tgz", tmp_path / "out")
    assert list((tmp_path / "target").iterdir()) == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "a"], "is there twice"),
        (["a", "A"], "differ by case only"),
        (["A/x", "a/y"], "differ by case only"),
        (["stra\u00dfe", "STRASSE"], "differ by case only"),
        (["\u00e9", "e\u0301"], "differ by case only"),
        (["a", "a/b"], "is there twice"),
        (["a/b", "a"], "is there twice"),
    ],
)
def test_names_that_take_each_others_place_are_refused(
    names: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="Duplicate") if names == ["a", "a"] else contextlib.nullcontext():
        (tmp_path / "a.zip").write_bytes(zip_of(*((name, b"x") for name in names)))
    with pytest.raises(StepError, match=message):
        unzip(tmp_path / "a.zip", tmp_path / "zip")
    (tmp_path / "a.tgz").write_bytes(tar_of(*((name, b"x") for name in names)))
    if message == "is there twice":
        with pytest.raises(StepError, match=message):
            untar(tmp_path / "a.tgz", tmp_path / "tar")
    else:  # git has both, and so has the tree that it was
        assert untar(tmp_path / "a.tgz", tmp_path / "tar") == 2
    assert not (tmp_path / "zip").exists()


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FREELY_BYTES", 1 << 20)
    (tmp_path / "a.zip").write_bytes(zip_of(("zeros", bytes(3 << 20))))
    with pytest.raises(StepError, match="no honest one does"):
        unzip(tmp_path / "a.zip", tmp_path / "zip")
    assert not (tmp_path / "zip").exists()
    (tmp_path / "a.tgz").write_bytes(tar_of(("zeros", bytes(3 << 20))))
    with pytest.raises(StepError, match="no honest one does"):
        untar(tmp_path / "a.tgz", tmp_path / "tar")
    assert list((tmp_path / "tar").iterdir()) == []


def test_what_does_not_fit_on_the_disk_is_refused(tmp_path: Path) -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.size = 1 << 60

    (tmp_path / "a.tgz").write_bytes(tar_of(("huge", None), change=change))
    with pytest.raises(StepError, match="honest"):
        untar(tmp_path / "a.tgz", tmp_path / "tar")


def test_a_member_that_gives_more_than_it_says_is_cut_off(tmp_path: Path) -> None:
    content = bytearray(zip_of(("a", b"x" * 1000)))
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = (5).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(StepError, match="damaged"):
        unzip(tmp_path / "a.zip", tmp_path / "out")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    content = bytearray(zip_of(("a", b"x")))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(StepError, match="encrypted"):
        unzip(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"no archive", zip_of(("a", b"x" * 1000))[:-30], gzip.compress(b"x", mtime=0)[:-4]],
    ids=[
        "nothing",
        "a beginning",
        "text",
        "a torn zip",
        "a torn gzip",
    ],  # the same in every process that collects
)
def test_a_torn_archive_is_an_error_of_ours(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(StepError, match="damaged"):
        unzip(tmp_path / "a", tmp_path / "zip")
    with pytest.raises(StepError, match="damaged"):
        untar(tmp_path / "a", tmp_path / "tar")


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_no_damage_to_an_archive_shows_more_than_a_step_error(data: st.DataObject, tmp_path: Path) -> None:
    unpack, content = data.draw(
        st.sampled_from([(unzip, zip_of(("a/b", b"text"))), (untar, tar_of(("a/b", b"text"), ("l", "a/b")))])
    )
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    (folder / "archive").write_bytes(damaged)
    with contextlib.suppress(StepError):
        unpack(folder / "archive", folder / "out")
    assert {path.name for path in folder.iterdir()} <= {"archive", "out"}


@given(st.text(max_size=40))
def test_a_name_that_is_accepted_stays_inside(name: str) -> None:
    with contextlib.suppress(StepError):
        check_name(name)
        assert (Path("/root") / name).resolve().is_relative_to("/root")
        assert name.isprintable() or not name.isascii()


def test_moving_goes_through_no_link_and_over_no_folder(tmp_path: Path) -> None:
    (tmp_path / "new" / "sub").mkdir(parents=True)
    (tmp_path / "new" / "sub" / "evil").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StepError, match="in the way"):
        move_into(tmp_path / "new", tmp_path / "target")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "file").write_text("x")
    (tmp_path / "place" / "file").mkdir(parents=True)
    with pytest.raises(StepError, match="is a folder"):
        move_into(tmp_path / "more", tmp_path / "place")


def test_a_hostile_artifact_changes_nothing_in_the_workspace(step: Step, service: ResultsService) -> None:
    step.put("mine.txt", "mine")
    service.add("evil", zip_of(("ok.txt", b"x"), ("../mine.txt", b"evil")))
    done = step.run("download-artifact", name="evil")
    assert "nothing was unpacked" in done.error
    assert step.tree() == {"mine.txt": "mine"}
    service.add("..", zip_of(("ok.txt", b"x")))
    assert step.run("download-artifact", pattern="..").code == 1
    assert [path.name for path in step.workspace.iterdir()] == ["mine.txt"]


def test_a_zip_from_another_tool_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of(("folder/", b""), ("folder/a.txt", b"a"), ("b.txt", b"b")))
    assert unzip(tmp_path / "a.zip", tmp_path / "out") == 2
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["a.txt", "b.txt", "folder"]


def test_a_tar_of_a_tree_is_unpacked_with_its_links(tmp_path: Path) -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.mode = 0o4755 if info.name == "./run" else 0o644

    content = tar_of(("./", None), ("./run", b"x"), ("./d/f", b"y"), ("./link", "d/f"), change=change)
    (tmp_path / "a.tgz").write_bytes(content)
    assert untar(tmp_path / "a.tgz", tmp_path / "out") == 3
    assert (tmp_path / "out" / "link").read_text() == "y"
    assert stat.S_IMODE((tmp_path / "out" / "run").stat().st_mode) & ~0o022 == 0o755
    assert sys.version_info >= (3, 11)
