"""Keep a job's checkpoints while it works, and bring the newest back before it begins: only what is finished, all of it at once."""

import json
import os
import signal
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

signal.signal(signal.SIGINT, signal.SIG_DFL)  # it is ended in the middle of its work, and that does no harm
sys.dont_write_bytecode = True  # an action leaves nothing in its folder
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _toolkit.errand import Errand, read_errand
from _toolkit.finished import (
    SETTLE_SECONDS,
    Units,
    age_of,
    find_single,
    find_unfinished,
    is_among,
    is_named_unfinished,
    list_written,
    scan_units,
    set_aside,
)
from _toolkit.folders import temporary_folder
from _toolkit.kept import Shelf, may_keep, name_artifact, open_shelf
from _toolkit.placing import put
from _toolkit.step import StepError, human, run, say, warn
from _toolkit.trees import resolve_inside

RESTORE_STEP = "__restore"  # as agent.spec.checkpoints has them
CHECKPOINT_STEP = "__checkpoint"
LOOK_SECONDS = 0.5
LOOK_SHARE = 10  # of paths with so many files that a look takes long


class Unsettled(Exception):  # noqa: N818 - no error: it is looked at again
    """Somebody is at work on what would be kept."""


def main() -> None:
    """What this step is about."""
    errand = read_errand()
    if errand.checkpoints is None:
        raise StepError("the job has no checkpoints", "this action is the agent's own: write `checkpoints`")
    if not may_keep():
        if errand.step == RESTORE_STEP:
            say("in this run checkpoints stay where they are")
        return
    if errand.step == RESTORE_STEP:
        restore(errand, errand.checkpoints)
    elif os.environ.get("AGENT_NODE_RANK", "0") != "0":
        say("the job's first machine keeps its checkpoints")
    elif errand.step == CHECKPOINT_STEP:
        keep_beside(CheckpointKeeper(errand, errand.checkpoints))
    else:
        keep_last(CheckpointKeeper(errand, errand.checkpoints))


def restore(errand: Errand, checkpoints: Mapping[str, Any]) -> None:
    """The newest checkpoint, each path where it lay; nothing where there is none."""
    found = json.loads(checkpoints["found"] or "{}")
    if found.get("lost"):
        say(f"{found['reason']}: {found['lost']}")
    item = found.get("artifact")
    if item is None:
        say("there is no checkpoint; the job begins at its beginning")
        return
    shelf = open_shelf(errand)
    targets = [find_target(thing) for thing in checkpoints["paths"]]
    with temporary_folder(targets[0].parent) as temporary:
        said = shelf.fetch({**item, "is_file": False}, temporary / "new")
        for number, target in enumerate(targets):
            new = temporary / "new" / str(number)
            if new.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                put(new, target, is_read_only=False)
    say(f"the checkpoint of {found.get('written_at', 'before')} is back: {said}")
    note_kept(errand, scan_units(checkpoints["paths"]))


def keep_beside(keeper: "CheckpointKeeper") -> None:
    """Again and again, until somebody ends it. What goes wrong is tried again."""
    complaints: set[str] = set()
    kept_at = float("-inf")
    while True:
        began = time.monotonic()
        if began - kept_at >= keeper.every_seconds:
            try:
                if keeper.keep_settled():
                    kept_at = began
            except Unsettled:
                pass
            except (StepError, OSError) as error:
                if str(error) not in complaints:
                    complaints.add(str(error))
                    warn(f"the checkpoint can't be kept: {error}; it is tried again")
        pause = min(LOOK_SECONDS, keeper.every_seconds)
        time.sleep(max(pause, LOOK_SHARE * keeper.look_seconds))


def keep_last(keeper: "CheckpointKeeper") -> None:
    """Of a job that is interrupted: its processes have ended, and what they were at is known."""
    if not keeper.is_interrupted:
        say("the job was not interrupted: nothing has to be kept")
        return
    if not keeper.sees_writers:
        say("what a container's processes were at can't be seen: the checkpoint before stays the last one")
        return
    try:
        if not keeper.keep_now():
            say("nothing was written since the last checkpoint")
    except Unsettled as unsettled:
        say(f"{unsettled}; the checkpoint before stays the last one")


class CheckpointKeeper:
    """Keeps one job's checkpoints."""

    def __init__(self, errand: Errand, checkpoints: Mapping[str, Any]) -> None:
        self._errand = errand
        self._shelf: Shelf = open_shelf(errand)
        self._paths = checkpoints["paths"]
        self._most = int(checkpoints["most_kept"])
        self._torn = frozenset(checkpoints["torn"])
        self.every_seconds = float(checkpoints["every_seconds"])
        self.is_interrupted = bool(checkpoints["is_interrupted"])
        self.sees_writers = not checkpoints["is_in_container"]  # whose processes may be another user's
        self.look_seconds = 0.0  # what a look takes

    def keep_settled(self) -> bool:
        """Keep what is finished while others work; False when that is kept already. Raises Unsettled, StepError."""
        began = time.monotonic()
        before = scan_units(self._paths)
        self.look_seconds = time.monotonic() - began
        if before.signatures == read_kept(self._errand):
            return False
        if not self.sees_writers:
            time.sleep(SETTLE_SECONDS)
            now = scan_units(self._paths)
            return self._keep(now, find_unfinished(before, now, ()), ())
        written = list_written()
        single = find_single(before, written)
        if single == before.entries.keys():
            return self._keep(before, (), single)
        time.sleep(SETTLE_SECONDS)
        now, written = scan_units(self._paths), list_written()
        single = find_single(now, written)
        return self._keep(now, find_unfinished(before, now, written) - single, single)

    def keep_now(self) -> bool:
        """Keep what is there, less what was torn. Raises as `keep_settled`."""
        now = scan_units(self._paths)
        torn = {
            name
            for name, entries in now.entries.items()
            if is_named_unfinished(name) or is_among(entries, self._torn)
        }
        return self._keep(now, torn, ())

    def _keep(self, now: Units, unfinished: Collection[str], single: Collection[str]) -> bool:
        kept = read_kept(self._errand)
        finished = now.only(now.entries.keys() - set(unfinished))
        if not finished.entries or finished.signatures == kept:
            return False
        for name in unfinished:
            if name in kept:  # without it the new checkpoint would have less than the one before
                raise Unsettled(f"'{self._show(name)}' is not finished")
        for number, thing in enumerate(self._paths):
            had, has = _count(kept, number), _count(finished.entries, number)
            if had and not has:
                raise Unsettled(f"'{thing['path']}' is not there just now")
        with temporary_folder(_note(self._errand).parent) as temporary:
            seen, sent = set_aside(finished, single, temporary / "aside")
            if seen.entries.keys() != finished.entries.keys() or find_single(seen, list_written()) < set(
                single
            ):
                raise Unsettled("it was written to while it was read")
            self._send(seen, sent)
        note_kept(self._errand, seen)
        return True

    def _send(self, seen: Units, sent: Units) -> None:
        still = {name for name, entries in sent.entries.items() if entries is seen.entries[name]}

        def check() -> None:
            """Before it counts: what was read in its place is what is there."""
            before, now = seen.only(still), scan_units(self._paths).only(still)
            if now.signatures != before.signatures:
                raise Unsettled("it was changed while it was read")

        tree, age = sent.tree, age_of(seen)
        about = {
            "kind": "checkpoint",
            "label": "checkpoint",
            "path": str(self._paths[0]["path"]),
            "key": self._errand.key,
            "age_seconds": round(age, 3),
            "most": self._most,
        }
        name = name_artifact(self._errand.key, {"name": "", "label": "checkpoint"})
        self._shelf.keep(name, tree, about, check=check)
        say(f"kept a checkpoint: {tree.describe()}, {human(tree.size)}, written {age:.0f} s ago")

    def _show(self, name: str) -> str:
        number, _, below = name.partition("/")
        return f"{self._paths[int(number)]['path'].rstrip('/')}{f'/{below}' if below else ''}"


def _count(units: Collection[str], number: int) -> int:
    return sum(name.partition("/")[0] == str(number) for name in units)


def find_target(thing: Mapping[str, Any]) -> Path:
    """Where a declared path lies on the machine."""
    return resolve_inside(thing["target"], thing["root"], f"'{thing['path']}'")


def read_kept(errand: Errand) -> dict[str, str]:
    """The signatures of the units of the last checkpoint that this try has kept, or found."""
    try:
        read: dict[str, str] = json.loads(_note(errand).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return read


def note_kept(errand: Errand, units: Units) -> None:
    """They are kept."""
    making = _note(errand).with_name(f"_checkpoint-{os.getpid()}")
    making.write_text(json.dumps(units.signatures), encoding="utf-8")
    making.replace(_note(errand))


def _note(errand: Errand) -> Path:
    return Path(errand.texts).with_name("_checkpoint.json")


run(main)
