"""actions/checkpoint in a local run: only what is finished is kept, all of it at once, and it comes back where it lay."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from _toolkit.finished import find_single, list_written, scan_units
from actions.conftest import Done, Step


@pytest.fixture
def job(tmp_path: Path) -> Step:
    """A step of a local run that has somewhere to keep checkpoints."""
    step = Step(tmp_path / "job")
    step.environment["FLOW_KEPT"] = str(tmp_path / "kept")
    return step


def run(step: Step, name: str, paths: tuple[str, ...] = ("state",), **more: Any) -> Done:
    root = str(step.workspace)
    thing = {"kind": "artifact", "root": root, "place": "", "is_out_of_reach": False}
    checkpoints = {
        "paths": [{**thing, "path": path, "target": path} for path in paths],
        "every_seconds": 1.0,
        "most_kept": 2,
        "found": "",
        "is_interrupted": True,
        "is_in_container": False,
        "torn": [],
        **more,
    }
    told = {
        "step": name,
        "texts": str(step.folder / "texts.json"),
        "run": 1,
        "key": "a",
        "attempt": 1,
        "status": "cancelled",
        "brings": [],
        "keeps": [],
        "store": "",
        "store_bytes": 0,
        "checkpoints": checkpoints,
    }
    file = step.folder / "errand.json"
    file.write_text(json.dumps(told))
    step.environment["FLOW_DATA"] = str(file)
    return step.run("checkpoint")


def last(step: Step) -> Done:
    return run(step, "__last_checkpoint")


def kept(step: Step) -> dict[str, str]:
    """The files of the checkpoint, with what is in them."""
    folder = Path(step.environment["FLOW_KEPT"])
    notes = list(folder.glob("*.json"))
    if not notes:
        return {}
    top = folder / json.loads(notes[0].read_text())["tree"]
    return {str(file.relative_to(top)): file.read_text() for file in top.rglob("*") if file.is_file()}


def write(step: Step, name: str, text: str) -> Path:
    file = step.workspace / "state" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_a_file_that_was_being_written_when_its_writer_died_is_left_out(job: Step) -> None:
    write(job, "whole", "1")
    torn = write(job, "torn", "ha")
    done = run(job, "__last_checkpoint", torn=[str(torn.resolve())])
    assert done.code == 0, done.log
    assert kept(job) == {"0/whole": "1"}


def test_a_checkpoint_that_would_lack_what_the_one_before_had_is_not_made(job: Step) -> None:
    file = write(job, "model", "1")
    write(job, "log", "a")
    last(job)
    write(job, "model", "2 hal")
    write(job, "log", "b")
    done = run(job, "__last_checkpoint", torn=[str(file.resolve())])
    assert "'state/model' is not finished; the checkpoint before stays the last one" in done.log
    assert kept(job) == {"0/model": "1", "0/log": "a"}


def test_names_that_say_they_are_unfinished_are_left_out(job: Step) -> None:
    for name in ("a.tmp", "b.part", "c.partial", "d.incomplete", "e"):
        write(job, name, name)
    last(job)
    assert kept(job) == {"0/e": "e"}


def test_what_is_kept_already_is_not_kept_again(job: Step) -> None:
    write(job, "model", "1")
    assert "kept a checkpoint: 1 file" in last(job).log
    assert "nothing was written since the last checkpoint" in last(job).log


def test_all_paths_come_back_where_they_lay(job: Step, tmp_path: Path) -> None:
    write(job, "deep/model", "1")
    (job.workspace / "count").write_text("7")
    paths = ("state", "count")
    run(job, "__last_checkpoint", paths)
    folder = Path(job.environment["FLOW_KEPT"])
    (note,) = folder.glob("*.json")
    said = json.loads(note.read_text())
    other = Step(tmp_path / "other")
    other.environment["FLOW_KEPT"] = job.environment["FLOW_KEPT"]
    item = {**said, "folder": str(folder / said["tree"])}
    found = json.dumps({"reason": "lost", "lost": "lost up to 3 s of work", "artifact": item})
    done = run(other, "__restore", paths, found=found)
    assert done.code == 0, done.log
    assert "lost: lost up to 3 s of work" in done.log
    assert (other.workspace / "state/deep/model").read_text() == "1"
    assert (other.workspace / "count").read_text() == "7"


def test_a_file_that_somebody_has_open_for_writing_waits_for_its_end(job: Step) -> None:
    file = write(job, "model", "1")
    units = scan_units([{"path": "state", "target": "state", "root": str(job.workspace)}])
    assert find_single(units, set()) == {"0/model"}
    code = f"import sys; f = open({str(file)!r}, 'a'); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        assert find_single(units, list_written()) == set()
        writer.communicate()
    assert find_single(units, list_written()) == {"0/model"}
