"""actions/bring and actions/keep, told by a file what is to be done, as the agent tells them."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from actions.conftest import ACTIONS, Done, Step
from support.results_service import ResultsService

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1  # linux/prctl.h, linux/capability.h
KEEP = {
    "kind": "artifact",
    "name": "",
    "in_data": False,
    "always": False,
    "live": False,
    "place": "f.yml:1:1",
}
BRING = {
    "kind": "job",
    "of": "a",
    "name": "",
    "job": "",
    "is_read_only": False,
    "is_optional": False,
    "place": "",
}


@pytest.fixture
def data(tmp_path: Path) -> Step:
    """A step of a local run that has somewhere to keep things."""
    step = Step(tmp_path / "job")
    step.environment |= {"FLOW_KEPT": str(tmp_path / "kept"), "FLOW_DATASETS": str(tmp_path / "datasets")}
    return step


def tell(step: Step, *, brings: Any = (), keeps: Any = (), status: str = "success", store: str = "") -> None:
    root = str(step.workspace)
    told = {
        "step": "__keep",
        "texts": str(step.folder / "texts.json"),
        "run": 1,
        "key": "a",
        "attempt": 1,
        "status": status,
        "store": store,
        "store_bytes": 1 << 30,
        "brings": [
            {**BRING, "target": each.get("path", ""), "root": root, "path": "", **each} for each in brings
        ],
        "keeps": [
            {
                **KEEP,
                "target": each["path"],
                "root": root,
                "label": each["path"],
                "is_made": False,
                "outlives_failure": False,
                **each,
            }
            for each in keeps
        ],
    }
    file = step.folder / "data.json"
    file.write_text(json.dumps(told))
    step.environment["FLOW_DATA"] = str(file)


def found(step: Step, path: str = "m", **more: Any) -> str:
    item = {
        "key": "a",
        "label": path,
        "path": path,
        "is_file": False,
        "folder": f"{step.environment['FLOW_KEPT']}/a.{path}",
    }
    return json.dumps({"artifacts": [{**item, **more}]})


def test_only_the_first_machine_of_a_job_keeps(data: Step) -> None:
    data.put("m/w")
    tell(data, keeps=[{"path": "m"}])
    data.environment["AGENT_NODE_RANK"] = "1"
    assert data.run("keep").code == 0
    assert not Path(data.environment["FLOW_KEPT"]).exists()


def test_links_that_stay_are_links_those_to_the_workspace_are_followed_and_others_are_left_out(
    data: Step,
) -> None:
    data.put("m/w")
    data.put("elsewhere/e")
    for name, target in {
        "in": "w",
        "out": "../elsewhere",
        "away": "/etc",
        "lost": "../nothing",
        "up": "..",
    }.items():
        (data.workspace / "m" / name).symlink_to(target)
    os.mkfifo(data.workspace / "m" / "pipe")
    tell(data, keeps=[{"path": "m"}])
    done = data.run("keep")
    assert done.code == 0, done.log
    kept = Path(data.environment["FLOW_KEPT"]) / "a.m"
    assert sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*")) == [
        "in",
        "out",
        "out/e",
        "w",
    ]
    assert (kept / "in").readlink() == Path("w")
    assert not (kept / "out").is_symlink()
    for words in (
        "leads out of the folder",
        "is a link to nothing",
        "a link to a folder around it",
        "neither file, folder nor link",
    ):
        assert words in done.log


def test_one_thing_that_is_missing_fails_the_step_and_the_others_are_kept_but_no_dataset_is_made(
    data: Step,
) -> None:
    data.put("m/w")
    data.put("d/f")
    tell(data, keeps=[{"path": "m"}, {"path": "gone"}, {"path": "d", "kind": "dataset"}])
    done = data.run("keep")
    assert done.code == 1
    assert "'gone' (f.yml:1:1) can't be kept: nothing is there" in done.error
    assert (Path(data.environment["FLOW_KEPT"]) / "a.m" / "w").exists()
    assert list(Path(data.environment["FLOW_DATASETS"]).glob("*/*.json")) == []


def test_what_is_read_only_can_be_written_to_by_nobody_but_root(data: Step) -> None:
    data.put("m/sub/w", "weights")
    tell(data, keeps=[{"path": "m"}])
    assert data.run("keep").code == 0
    shutil.rmtree(data.workspace / "m")
    tell(data, brings=[{"path": "got", "name": "m", "is_read_only": True, "found": found(data)}])
    done = run_held_back(data, "bring")
    assert done.code == 0, done.log
    modes = {
        path.name: path.stat().st_mode & 0o222
        for path in [data.workspace / "got", *(data.workspace / "got").rglob("*")]
    }
    assert modes == {"got": 0, "sub": 0, "w": 0}


def run_held_back(step: Step, action: str) -> Done:
    """By a process that rights hold back, also where the tests run as root."""
    done = subprocess.run(
        [sys.executable, "-I", ACTIONS / action / "main.py"],
        cwd=step.workspace,
        env=step.environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0),
    )
    return Done(done.returncode, done.stdout + done.stderr, {})


def test_several_things_at_one_place_lie_in_folders_of_their_jobs(data: Step) -> None:
    data.put("m/w", "x")
    tell(data, keeps=[{"path": "m"}])
    assert data.run("keep").code == 0
    shutil.rmtree(data.workspace / "m")
    items = [json.loads(found(data, key=f"a ({each})"))["artifacts"][0] for each in ("1", "x / y")]
    tell(data, brings=[{"path": "all", "found": json.dumps({"artifacts": items})}])
    assert data.run("bring").code == 0
    assert data.tree("all") == {"m/a (1)/w": "x", "m/a (x - y)/w": "x"}


def test_what_the_machine_holds_is_taken_only_as_it_was(
    step: Step, service: ResultsService, tmp_path: Path
) -> None:
    from _toolkit.held import HeldTrees
    from _toolkit.trees import scan_tree

    step.put("m/w", "weights")
    (step.workspace / "m" / "empty").mkdir()
    held, digest = HeldTrees(tmp_path / "store", 1 << 20), f"sha256:{'a' * 64}"
    held.hold(digest, scan_tree(step.workspace / "m", str(step.workspace)))
    assert held.take(digest, tmp_path / "one")
    assert (tmp_path / "one" / "w").read_text() == "weights"
    assert (tmp_path / "one" / "empty").is_dir()
    (tmp_path / "store" / ("a" * 64) / "tree" / "w").write_text("poison!")
    assert not held.take(digest, tmp_path / "two")
    assert not (tmp_path / "two").exists()
    assert not held.take(f"sha256:{'b' * 64}", tmp_path / "two")


def test_what_was_used_longest_ago_makes_room(step: Step, tmp_path: Path) -> None:
    from _toolkit.held import HeldTrees
    from _toolkit.trees import scan_tree

    held = HeldTrees(tmp_path / "store", 250)
    for number, letter in enumerate("abc"):
        step.put("m/w", "x" * 100)
        held.hold(f"sha256:{letter * 64}", scan_tree(step.workspace / "m", str(step.workspace)))
        for note in (tmp_path / "store").glob(f"{letter * 64}/note.json"):
            os.utime(note, (number, number))
    held.hold(f"sha256:{'d' * 64}", scan_tree(step.put("large", "x" * 300), str(step.workspace)))
    assert sorted(path.name[0] for path in (tmp_path / "store").iterdir()) == ["b", "c"]
