"""Trees that a hostile job left: removed or looked through, whatever their depth, rights and kinds."""

import ast
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.nesting import nest
from support.rights import without_override

import agent
from agent.trees import Remains, remove_tree, walk_tree


@pytest.mark.parametrize("depth", [1_100, 2_500])
def test_depth_is_no_obstacle_to_removing_or_to_looking(tmp_path, depth):
    top = tmp_path / "top"
    nest(top, depth)
    assert sum(len(entries) for _file, _below, entries in walk_tree(top)) == 2 * depth
    assert not remove_tree(top)
    assert not top.exists()


def test_wide_and_deep_trees_go_within_a_small_stock_of_waiting_folders(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.trees._MOST_WAITING", 3)
    top = tmp_path / "top"
    for way in ("a/b/c/d", "a/b/c/e", "a/f", "g/h", "i", "j/k/l", "m", "n/o"):
        (top / way).mkdir(parents=True)
        (top / way / "file").touch()
    assert not remove_tree(top)
    assert not top.exists()


def test_links_fifos_and_sockets_go_and_nothing_behind_a_link_is_touched(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir(mode=0o500)
    (tmp_path / "top" / "a").mkdir(parents=True)
    os.mkfifo(tmp_path / "top" / "fifo")
    (tmp_path / "top" / "a" / "link").symlink_to(precious)
    (tmp_path / "top" / "link").symlink_to(precious)
    (tmp_path / "top" / b"\xff".decode("utf-8", "surrogateescape")).mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "top" / "socket"))
    (tmp_path / "top" / "a").chmod(0o500)
    (tmp_path / "other").symlink_to(precious)
    assert not remove_tree(tmp_path / "top")
    assert not remove_tree(tmp_path / "other")
    assert not remove_tree(tmp_path / "none" / "at all")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["precious"]
    assert precious.stat().st_mode & 0o777 == 0o500


def test_folders_without_rights_are_opened_up_and_a_links_target_is_not(tmp_path):
    """As a user whom rights bind: root is bound by none."""
    precious = tmp_path / "precious"
    precious.mkdir(mode=0o500)
    way = tmp_path / "top" / "a" / "b" / "c"
    way.mkdir(parents=True)
    (way / "file").touch()
    (way / "link").symlink_to(precious)
    for folder in (way, way.parent, way.parent.parent, tmp_path / "top"):
        folder.chmod(0)
    program = "import sys, pathlib, agent.trees as t; print(t.remove_tree(pathlib.Path(sys.argv[1])), end='')"
    done = subprocess.run(
        [*without_override(), sys.executable, "-c", program, str(tmp_path / "top")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    assert not os.path.lexists(tmp_path / "top")
    assert precious.stat().st_mode & 0o777 == 0o500


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting, and files that are immutable, are for root")
def test_what_can_not_go_is_counted_and_stops_nothing_else(tmp_path):
    owners = tmp_path / "owners"
    owners.mkdir()
    (owners / "data").touch()
    top = tmp_path / "top"
    for name in ("a", "m", "z"):
        (top / name / "deep").mkdir(parents=True)
        (top / name / "deep" / "file").touch()
    mounted = top / "m" / "deep"
    subprocess.run(["mount", "--bind", str(owners), str(mounted)], check=True)
    try:
        remains = remove_tree(top)
    finally:
        left = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for place in (place for place in left if place.startswith(str(top))):
            subprocess.run(["umount", place], check=True)
    assert remains.count == 1
    assert "/m/deep: Device or resource busy" in str(remains)
    assert (owners / "data").exists()
    assert not any((top / name).exists() for name in ("a", "m", "z"))
    assert remove_tree(top) == Remains()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting is for root")
def test_a_tree_that_is_a_mount_itself_is_left_alone(tmp_path):
    (tmp_path / "owners").mkdir()
    (tmp_path / "owners" / "data").touch()
    (tmp_path / "top").mkdir()
    subprocess.run(["mount", "--bind", str(tmp_path / "owners"), str(tmp_path / "top")], check=True)
    try:
        assert str(remove_tree(tmp_path / "top")).endswith("/top: a file system is mounted there")
        assert (tmp_path / "owners" / "data").exists()
    finally:
        subprocess.run(["umount", str(tmp_path / "top")], check=True)


def test_what_is_looked_through_ends_at_links(tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "private").touch()
    top = tmp_path / "top"
    (top / "folder").mkdir(parents=True)
    (top / "folder" / "link").symlink_to(tmp_path / "theirs")
    seen = [f"{below}/{entry.name}" for _file, below, entries in walk_tree(top) for entry in entries]
    assert seen == ["/folder", "folder/link"]
    (tmp_path / "way").symlink_to(top)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        next(walk_tree(tmp_path / "way"))


def test_folders_that_are_taken_out_of_what_is_looked_at_are_left_out(tmp_path):
    (tmp_path / "top" / "b").mkdir(parents=True)
    nest(tmp_path / "top" / "a", 2)
    seen = []
    for _file, below, entries in walk_tree(tmp_path / "top"):
        seen.append(below)
        entries[:] = [entry for entry in entries if entry.name != "a"]
    assert seen == ["", "b"]


def test_nothing_goes_down_trees_of_others_but_what_knows_no_depth():
    """`os.walk` and its like end with a RecursionError where a job has been; those that are named look at folders of their own."""
    root = Path(agent.__file__).parent
    found = {
        f"{file.relative_to(root)}: {node.attr}"
        for file in root.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and _goes_down(node)
    }
    assert found == {
        *("server/backup.py: rglob", "server/data/blobs/disk.py: rglob"),  # the server's own names
        "cli/demo/checks.py: rglob",  # what `agent demo` has made
    }


def _goes_down(node):
    owner = node.value.id if isinstance(node.value, ast.Name) else ""
    return node.attr == "rglob" or f"{owner}.{node.attr}" in ("os.walk", "os.fwalk", "shutil.rmtree")
