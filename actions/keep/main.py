"""Keep what the job's `keeps` name: each as a whole or not at all, datasets together and last."""

import json
import os
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

from _toolkit.caches import open_caches
from _toolkit.datasets import Staged, open_datasets
from _toolkit.errand import LIVE_STEP, SUCCESS, Errand, check_reach, name_thing, read_errand, read_signatures
from _toolkit.kept import Shelf, name_artifact, open_shelf
from _toolkit.step import StepError, human, run, say, warn
from _toolkit.trees import Tree, resolve_inside, scan_tree

LONGEST_TEXT_BYTES = 64 << 10
LIVE_SECONDS = 3.0
LIVE_SHARE = 10  # a live tree that takes long to keep is kept for a tenth of the time at most


def main() -> None:
    """All of them; one that fails does not take the others along."""
    errand = read_errand()
    if os.environ.get("AGENT_NODE_RANK", "0") != "0":
        say("the job's first machine keeps its data")
        return
    if errand.step == LIVE_STEP:
        keep_live(errand)
        return
    texts: dict[str, str] = {}  # the job's outputs
    try:
        keep_all(errand, texts)
    finally:
        Path(errand.texts).write_text(json.dumps(texts), encoding="utf-8")


def keep_all(errand: Errand, texts: dict[str, str]) -> None:
    """All that the job keeps when its steps have ended. What becomes an output goes into `texts`."""
    failures, staged = [], []
    for keep in errand.keeps:
        if errand.status != SUCCESS and not keep["outlives_failure"]:
            say(f"'{keep['path']}' is not kept: the job has not succeeded")
            continue
        try:
            staged += keep_one(errand, keep, texts)
        except (StepError, OSError) as error:
            failures.append(describe(keep, error))
    if failures:
        raise StepError("; ".join(failures))
    if staged:
        made = open_datasets().commit(staged)
        say(f"new versions: {', '.join(made)}")
        # Other jobs of the run may want these very ones.
        texts.update({one.name: version for one, version in zip(staged, made, strict=True)})


def keep_one(errand: Errand, keep: Mapping[str, Any], texts: dict[str, str]) -> list[Staged]:
    """One of them, by its kind; of a dataset the version that is to be committed. A text goes into `texts`."""
    path, kind = find_path(keep), keep["kind"]
    try:
        if kind == "text":
            texts[keep["label"]] = read_text(path)
            say(f"output '{keep['label']}': {human(path.stat().st_size)}")
        elif kind == "dataset":
            return stage_dataset(errand, keep, scan_tree(path, keep["root"], keeps_links=False))
        elif kind == "cache":
            keep_cache(keep, scan_tree(path, keep["root"]))
        else:
            keep_tree(open_shelf(errand), errand, keep, scan_tree(path, keep["root"]))
    except FileNotFoundError:
        if errand.status == SUCCESS and kind != "cache":
            hint = "a step of the job makes it; a path that ends in / is made at the beginning"
            raise StepError("nothing is there", hint) from None
        warn(f"{name_thing(keep, repr(keep['path']))} is not kept: nothing is there")
    return []


def stage_dataset(errand: Errand, keep: Mapping[str, Any], tree: Tree) -> list[Staged]:
    """A new version of a dataset, of a job that succeeded; of any other there is none, however it is asked for."""
    if errand.status != SUCCESS:
        say(f"'{keep['path']}' is no new version: the job has not succeeded")
        return []
    staged = open_datasets().stage(keep["label"], tree, f"from job '{errand.key}' of run {errand.run}")
    say(f"'{keep['path']}': {tree.describe()}, {human(tree.size)}, for dataset '{keep['label']}'")
    return [staged]


def keep_cache(keep: Mapping[str, Any], tree: Tree) -> None:
    """Over what was there; one that is as it was brought stays."""
    if read_signatures().get(keep["target"]) == tree.signature:
        say(f"'{keep['path']}': as it was, cache '{keep['label']}'")
        return
    say(f"'{keep['path']}': {open_caches().save(keep['label'], tree)}, cache '{keep['label']}'")


def keep_tree(
    shelf: Shelf, errand: Errand, keep: Mapping[str, Any], tree: Tree, *, says: bool = True
) -> None:
    """An artifact, or a volume."""
    about = {name: keep[name] for name in ("kind", "label", "path", "in_data")}
    name = name_artifact(errand.key, keep)
    said = shelf.keep(name, tree, {**about, "key": errand.key})
    if says:
        say(f"'{keep['path']}': {said}")


def keep_live(errand: Errand) -> None:
    """Again and again what has changed, until somebody ends it. What goes wrong is tried again."""
    shelf = open_shelf(errand)
    known: dict[str, str] = {}
    complaints: set[str] = set()
    while True:
        began = time.monotonic()
        for keep in errand.keeps:
            if keep["live"] and keep["kind"] in ("artifact", "volume"):
                try:
                    tree = scan_tree(find_path(keep), keep["root"])
                    if tree.entries and known.get(keep["path"]) != tree.signature:
                        keep_tree(shelf, errand, keep, tree, says=keep["path"] not in known)
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
    check_reach(keep)
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
