"""The folder of the user's where local runs keep things: later runs of this machine find them there.

    KEPT/flows/FLOW/flow.json               which flow it is: its file and its name, and the project that it is of
    KEPT/flows/FLOW/N/NAME, NAME.json       a tree that a job of its run N kept, and what is noted of it (`_toolkit.kept`)
    KEPT/flows/FLOW/N/run.json              how that run and its jobs ended; without it, it lives, or was killed
    KEPT/flows/FLOW/N/lock                  held (flock) as long as the run lives
    KEPT/tags/TAG.json                      the run that has the tag
    KEPT/datasets/NAME/N, NAME/N.json       a version of a dataset, and what is noted of it (`_toolkit.datasets`)
    KEPT/caches/DIGEST/tree                 what was kept under a key (`_toolkit.caches`)

A run's number is its own among all flows', as it is at a server. Of a flow the last runs stay, all that have a tag, and of each of its jobs the last run in which it succeeded.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from agent.config import load_settings
from agent.flow.model import Flow
from agent.plan import RunState
from agent.spec.data import check_tag, is_of_node
from agent.spec.job import JobSpec
from agent.spec.outcome import Conclusion
from agent.trees import remove_tree

if TYPE_CHECKING:
    from agent.spec.dataset import DatasetRef

KEPT = "kept"  # in the state folder
KEEP_RUNS = 5
_RUN = "run.json"
_FLOW = "flow.json"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run that has ended, and what its jobs kept."""

    folder: Path
    jobs: Mapping[str, str]  # key -> conclusion

    @property
    def name(self) -> str:
        """FLOW/N: what tags say."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    def has_succeeded(self, node: str) -> bool:
        """Whether all jobs of the node did."""
        ends = [end for key, end in self.jobs.items() if is_of_node(key, node)]
        return bool(ends) and all(end == Conclusion.SUCCESS for end in ends)


def prune_kept(most: int | None, output_format: str, out: TextIO) -> int:
    """`agent flow prune`: remove what is too old, and say what has gone; 0."""
    store = KeptStore(load_settings({}).state_folder / KEPT)
    gone = [str(folder) for folder in store.prune(most=KEEP_RUNS if most is None else most)]
    if output_format == "json":
        from agent.cli.terminal.tables import print_json

        print_json(gone, out)
    else:
        out.writelines(f"removed {folder}\n" for folder in gone)
    return 0


class KeptStore:
    """All that local runs of this user kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def datasets(self) -> Path:
        """The folder of datasets."""
        return self.folder / "datasets"

    def find_version(self, ref: "DatasetRef") -> dict[str, Any] | None:
        """A version of a dataset, by number, tag or as the latest."""
        from agent.spec.dataset import LATEST, version_number  # few jobs are brought one

        folder = self.datasets / ref.name
        known = {int(file.stem): _read(file) for file in folder.glob("*.json") if file.stem.isdigit()}
        wanted = version_number(ref.version)
        if ref.version == LATEST:
            wanted = max(known, default=None)
        elif wanted is None:
            tagged = (number for number, note in known.items() if note and ref.version in note["tags"])
            wanted = max(tagged, default=None)
        if wanted not in known:
            return None
        return {"name": ref.name, "version": wanted, "folder": str(folder / str(wanted))}

    def begin_run(self, flow: Flow, number: int) -> "OpenRun":
        """A folder for what a run keeps; it is there when something is kept, and `number` is its name unless another run has taken that."""
        return OpenRun(self, self._flow_folder(flow), flow, number)

    def runs_of(self, flow: str, project: str) -> list[KeptRun]:
        """The runs of a project's flow, known by its file or its name, the newest first."""
        folders = [folder for folder in self._flow_folders() if _is_flow(folder, flow, project)]
        return _sort_by_end([run for folder in folders for run in list_runs(folder)])

    def find_run(self, number: int) -> KeptRun | None:
        """The run of that number, if it has ended."""
        found = [read_run(folder) for folder in (self.folder / "flows").glob(f"*/{number}")]
        return next(iter(_sort_by_end([run for run in found if run is not None])), None)

    def find_tagged(self, tag: str) -> KeptRun | None:
        """The run that has the tag."""
        said = _read(self._tag_file(tag))
        return read_run(self.folder / "flows" / str(said.get("run", "."))) if said else None

    def tag(self, tag: str, run: KeptRun) -> None:
        """Put the tag on the run; it is taken off any other."""
        file = self._tag_file(tag)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_note(file, {"run": run.name})

    def prune(self, *, most: int = KEEP_RUNS) -> list[Path]:
        """Remove what is too old: the folders that have gone."""
        tagged = self._list_tagged()
        gone = []
        for folder in self._flow_folders():
            for old in _find_old(folder, most, tagged):
                remove_tree(old)
                gone.append(old)
        return gone

    def _list_tagged(self) -> set[str]:
        files = (self.folder / "tags").glob("*.json")
        return {str(said.get("run")) for said in map(_read, files) if said}

    def _tag_file(self, tag: str) -> Path:
        return self.folder / "tags" / f"{check_tag(tag)}.json"

    def _flow_folder(self, flow: Flow) -> Path:
        file = Path(os.path.abspath(flow.file))  # noqa: PTH100 - a link is a name of its own
        stem = re.sub(r"[^\w.-]+", "-", file.stem)[:60].strip(".-") or "flow"
        mark = hashlib.sha256(os.fsencode(file)).hexdigest()[:8]
        return self.folder / "flows" / f"{stem}-{mark}"

    def _flow_folders(self) -> list[Path]:
        return sorted(folder.parent for folder in (self.folder / "flows").glob(f"*/{_FLOW}"))


class OpenRun:
    """What a run keeps while it lives. `folder` is made, and locked, when the first of its jobs may keep something."""

    def __init__(self, store: KeptStore, flow_folder: Path, flow: Flow, number: int) -> None:
        self._store = store
        self._number = number
        self._flow_folder = flow_folder
        self._flow = flow
        self._lock = -1
        self.folder: Path | None = None

    def open_folder(self) -> Path:
        """The run's folder."""
        if self.folder is None:
            self._flow_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.path.abspath(self._flow.file)  # noqa: PTH100
            write_note(
                self._flow_folder / _FLOW,
                {"file": file, "name": self._flow.name or "", "project": self.project},
            )
            self.folder = _make_next(self._flow_folder, self._number)
            self._lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self.folder

    @property
    def project(self) -> str:
        """The folder whose flows it is one of."""
        from agent.cli.local_files.repository import find_root

        return str(find_root(Path(self._flow.file)).resolve())

    def describe(self, spec: JobSpec, *, is_in_place: bool) -> dict[str, str]:
        """The variable that tells the steps of a job where to keep; it is a folder that is there only if they may."""
        keeps_checkpoints = spec.checkpoints is not None and not is_in_place
        if not spec.keeps and not spec.brings and not keeps_checkpoints:
            return {}
        self._store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return {
            "FLOW_KEPT": str(self.open_folder() if spec.keeps or keeps_checkpoints else self._flow_folder),
            "FLOW_DATASETS": str(self._store.datasets),
            "FLOW_CACHES": str(self._store.folder / "caches"),
        }

    def list_kept(self, node: str) -> list[dict[str, Any]]:
        """What the jobs of a node of this run have kept, volumes too."""
        kept = [] if self.folder is None else list(list_notes(self.folder, node=node))
        return [note for note in kept if note["kind"] != "checkpoint"]

    def find_checkpoint(self, key: str) -> dict[str, Any] | None:
        """The checkpoint that the job of that key has kept last."""
        kept = [] if self.folder is None else list_notes(self.folder)
        return next((note for note in kept if note["kind"] == "checkpoint" and note["key"] == key), None)

    def end(self, state: RunState, tag: str) -> list[Path]:
        """The run is over: what it kept is there for others, volumes and checkpoints go. Gives the places, for people."""
        if self.folder is None:
            return []
        for half in self.folder.glob(".making-*"):  # of a job that was killed
            remove_tree(half)
        for note in list(list_notes(self.folder)):
            if note["kind"] in ("volume", "checkpoint"):
                (self.folder / f"{note['name']}.json").unlink()
                remove_tree(Path(note["folder"]))
        notes = list(list_notes(self.folder))
        ends = {job.key: job.result.conclusion for job in state.jobs.values() if job.result is not None}
        write_note(self.folder / _RUN, {"jobs": ends, "conclusion": state.conclusion})
        if not notes:
            remove_tree(self.folder)
        elif tag:
            self._store.tag(tag, KeptRun(self.folder, ends))
        os.close(self._lock)
        self._store.prune()
        return [Path(note["folder"]) for note in notes]


def list_notes(folder: Path, node: str | None = None) -> Iterator[dict[str, Any]]:
    """What is noted of each tree in a run's folder, with `folder`, where it lies."""
    for file in sorted(folder.glob("*.json")):
        note = _read(file) if file.name != _RUN else None
        if note and (node is None or is_of_node(note["key"], node)):
            yield {**note, "folder": str(folder / note["tree"])}


def list_runs(flow_folder: Path) -> list[KeptRun]:
    """The runs of a flow that have ended."""
    found = [read_run(file.parent) for file in flow_folder.glob(f"*/{_RUN}")]
    return [run for run in found if run is not None]


def read_run(folder: Path) -> KeptRun | None:
    """The run in `folder`; None where none has ended."""
    said = _read(folder / _RUN)
    return None if said is None else KeptRun(folder, said["jobs"])


def _find_old(flow_folder: Path, most: int, tagged: Iterable[str]) -> list[Path]:
    """The runs that may go: neither young, nor tagged, nor the last in which a job succeeded; and what killed ones left."""
    runs = sorted(list_runs(flow_folder), key=lambda run: int(run.folder.name), reverse=True)
    stay = {run.folder for run in runs[:most]} | {run.folder for run in runs if run.name in set(tagged)}
    for key in {key for run in runs for key in run.jobs}:
        last = next((run.folder for run in runs if run.jobs.get(key) == Conclusion.SUCCESS), None)
        if last is not None:
            stay.add(last)
    dead = [folder for folder in flow_folder.iterdir() if folder.name.isdigit() and _is_dead(folder)]
    return [run.folder for run in runs if run.folder not in stay] + dead


def _is_dead(folder: Path) -> bool:
    """Whether the run was killed: it has not ended, and nobody holds its lock."""
    if (folder / _RUN).exists():
        return False
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # it is being made just now
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(lock)


def _make_next(flow_folder: Path, number: int) -> Path:
    """The folder of the flow's next run; two runs of it at once have two."""
    while True:
        with contextlib.suppress(FileExistsError):
            folder = flow_folder / str(number)
            folder.mkdir(mode=0o700)
            return folder
        number += 1


def _is_flow(folder: Path, wanted: str, project: str) -> bool:
    """By a whole path any flow; by the end of one, and by its name, one of the project's (a note of old doesn't say whose)."""
    said = _read(folder / _FLOW) or {}
    file = str(said.get("file", ""))
    own = os.path.abspath(wanted)  # noqa: PTH100 - as it was noted
    if file in (own, wanted):
        return True
    is_called_so = wanted == said.get("name") or file.endswith(f"/{wanted.removeprefix('./')}")
    return is_called_so and said.get("project", project) == project


def _sort_by_end(runs: list[KeptRun]) -> list[KeptRun]:
    """The newest first."""
    return sorted(runs, key=lambda run: (run.folder / _RUN).stat().st_mtime_ns, reverse=True)


def _read(file: Path) -> dict[str, Any] | None:
    """A note; None where there is none, or one that nobody can read."""
    try:
        read = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return read if isinstance(read, dict) else None


def write_note(file: Path, said: Mapping[str, object]) -> None:
    """Replace a note at once."""
    making = file.with_name(f".{file.name}-{os.urandom(6).hex()}")
    making.write_text(json.dumps(said), encoding="utf-8")
    making.replace(file)
