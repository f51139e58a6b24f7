"""Keep what the job's `keeps` name: each as a whole or not at all, datasets together and last."""

import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

signal.signal(
    signal.SIGINT, signal.SIG_DFL
)  # what is live is kept until the step is ended: no traceback for that
sys.dont_write_bytecode = True  # an action leaves nothing in its folder
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _toolkit.errand import SUCCESS, Errand, name_thing, read_errand
from _toolkit.kept import Shelf, name_artifact, open_shelf
from _toolkit.step import StepError, get_flag, human, run, say, set_output, warn
from _toolkit.trees import Tree, resolve_inside, scan_tree

LONGEST_TEXT_BYTES = 64 << 10
LIVE_SECONDS = 3.0
LIVE_SHARE = 10  # a live tree that takes long to keep is kept for a tenth of the time at most


def main() -> None:
    """All of them; one that fails does not take the others along."""
    errand = read_errand()
    if get_flag("live"):
        keep_live(errand)
        return
    failures = []
    for keep in errand.keeps:
        if errand.status != SUCCESS and not keep["outlives_failure"]:
            say(f"'{keep['path']}' is not kept: the job has not succeeded")
            continue
        try:
            keep_one(errand, keep)
        except (StepError, OSError) as error:
            failures.append(describe(keep, error))
    if failures:
        raise StepError("; ".join(failures))


def keep_one(errand: Errand, keep: Mapping[str, Any]) -> None:
    """One of them, by its kind."""
    path = find_path(keep)
    try:
        if keep["kind"] == "text":
            set_output(keep["label"], read_text(path))
            say(f"output '{keep['label']}': {human(path.stat().st_size)}")
        else:
            keep_tree(open_shelf(errand), errand, keep, scan_tree(path, keep["root"]))
    except FileNotFoundError:
        if errand.status == SUCCESS:
            raise StepError(
                "nothing is there",
                "a step of the job makes it; a path that ends in / is made at the beginning",
            ) from None
        warn(f"{name_thing(keep, repr(keep['path']))} is not kept: nothing is there")


def keep_tree(shelf: Shelf, errand: Errand, keep: Mapping[str, Any], tree: Tree) -> None:
    """An artifact, or a volume."""
    about = {name: keep[name] for name in ("kind", "label", "path", "in_data")}
    name = name_artifact(errand.key, keep)
    said = shelf.keep(name, tree, {**about, "key": errand.key})
    say(f"'{keep['path']}': {said}")


def keep_live(errand: Errand) -> None:
    """Again and again what has changed, until somebody ends it. What goes wrong is tried again."""
    shelf = open_shelf(errand)
    known: dict[str, int] = {}
    complaints: set[str] = set()
    while True:
        began = time.monotonic()
        for keep in errand.keeps:
            if keep["live"] and keep["kind"] in ("artifact", "volume"):
                try:
                    tree = scan_tree(find_path(keep), keep["root"])
                    if tree.entries and known.get(keep["path"]) != tree.signature:
                        keep_tree(shelf, errand, keep, tree)
                        known[keep["path"]] = tree.signature
                except FileNotFoundError:  # not there yet, or a file went while it was read
                    continue
                except (StepError, OSError) as error:
                    complaint = describe(keep, error)
                    if complaint not in complaints:
                        complaints.add(complaint)
                        warn(f"{complaint}; it is tried again")
        time.sleep(max(LIVE_SECONDS, LIVE_SHARE * (time.monotonic() - began)))


def find_path(keep: Mapping[str, Any]) -> Path:
    """Where it lies, links followed if they stay inside."""
    return resolve_inside(keep["target"], keep["root"], f"'{keep['path']}'")


def read_text(path: Path) -> str:
    """A small file of text, without the line end at its end."""
    with path.open("rb") as file:
        data = file.read(LONGEST_TEXT_BYTES + 1)
    if len(data) > LONGEST_TEXT_BYTES:
        raise StepError(
            f"it is over {human(LONGEST_TEXT_BYTES)}, which is the most for an output",
            "keep it as an artifact",
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise StepError("it is not UTF-8 text", "keep it as an artifact") from None
    return text.removesuffix("\n").removesuffix("\r")


def describe(keep: Mapping[str, Any], error: Exception) -> str:
    """What went wrong with one of them."""
    reason = str(error) if isinstance(error, StepError) else f"{getattr(error, 'strerror', None) or error}"
    return f"{name_thing(keep, repr(keep['path']))} can't be kept: {reason}"


run(main)
