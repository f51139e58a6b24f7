"""Bring what the job's `brings` name to where they say, each as a whole or not at all; make the folders that the job keeps."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.dont_write_bytecode = True  # an action leaves nothing in its folder
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _toolkit.errand import Errand, check_reach, name_thing, read_errand, read_signatures, write_signatures
from _toolkit.folders import temporary_folder
from _toolkit.kept import open_shelf
from _toolkit.placing import put
from _toolkit.step import StepError, run, say
from _toolkit.trees import resolve_inside, scan_tree


@dataclass(frozen=True, slots=True)
class Piece:
    """One tree, and where it goes."""

    item: Mapping[str, Any]
    target: Path


def main() -> None:
    """All of them; the first that can't be brought fails the step, and the job."""
    errand = read_errand()
    for bring in errand.brings:
        try:
            bring_one(errand, bring)
        except (StepError, OSError) as error:
            reason = str(error) if isinstance(error, StepError) else f"{error.strerror or error}"
            raise StepError(f"{name_thing(bring, name_source(bring))} can't be brought: {reason}") from None
    for keep in errand.keeps:
        if keep["is_made"]:
            make_folder(keep)


def bring_one(errand: Errand, bring: Mapping[str, Any]) -> None:
    """One of them, by its kind."""
    match bring["kind"]:
        case "text":
            put_text(bring)
        case "cache":
            bring_cache(bring)
        case "dataset":
            bring_dataset(bring)
        case _:
            bring_artifacts(errand, bring)


def bring_artifacts(errand: Errand, bring: Mapping[str, Any]) -> None:
    """What a job, this run's or an earlier one's, has kept."""
    found = json.loads(bring["found"] or "{}")
    pieces = list(place_pieces(bring, found.get("artifacts", [])))
    if not pieces:
        if not bring["is_optional"]:
            raise StepError("there is nothing to bring")
        say(f"{name_source(bring)}: nothing is there, and nothing needs to be")
    shelf = open_shelf(errand)
    for piece in pieces:
        with temporary_folder(piece.target) as temporary:
            said = shelf.fetch(piece.item, temporary / "new")
            put(temporary / "new", piece.target, is_read_only=bring["is_read_only"])
        say(f"{name_source(bring)}: {said}, into {piece.target}")


def bring_dataset(bring: Mapping[str, Any]) -> None:
    """A version of a dataset, as a folder."""
    from _toolkit.datasets import open_datasets

    item = json.loads(bring["found"] or "{}").get("dataset")
    if item is None:
        if not bring["is_optional"]:
            raise StepError("there is no such version")
        say(f"{name_source(bring)}: nothing is there, and nothing needs to be")
        return
    target = find_target(bring, "" if bring["path"] else item["name"])
    with temporary_folder(target) as temporary:
        said = open_datasets().fetch(item, temporary / "new")
        put(temporary / "new", target, is_read_only=bring["is_read_only"])
    say(f"{said}, into {target}")


def bring_cache(bring: Mapping[str, Any]) -> None:
    """What was kept under a key, if anything was. How it is now is noted: unchanged, it is not kept again."""
    from _toolkit.caches import open_caches

    if not bring["path"]:
        raise StepError("it has no path to lie at")
    target = find_target(bring, "")
    with temporary_folder(target) as temporary:
        said = open_caches().restore(bring["of"], temporary / "new")
        if said:
            put(temporary / "new", target, is_read_only=False)
    if not said:
        say(f"{name_source(bring)}: nothing is there yet")
        return
    signature = scan_tree(target, bring["root"]).signature
    write_signatures({**read_signatures(), bring["target"]: signature})
    say(f"{name_source(bring)}: {said}, into {target}")


def place_pieces(bring: Mapping[str, Any], items: list[Mapping[str, Any]]) -> Iterator[Piece]:
    """Where each goes. One that is named goes to the path itself; else each lies below it as it lay in its own job.

    What several cells of a matrix have kept at one path is told apart by a folder for each.
    """
    paths = [own_path(item) for item in items]
    for item, path in zip(items, paths, strict=True):
        is_one_of_many = paths.count(path) > 1
        own = "" if bring["name"] and bring["path"] else path
        if is_one_of_many:
            own = f"{own}/{item['key'].replace('/', '-')}" if own else item["key"].replace("/", "-")
        yield Piece(item, find_target(bring, own))


def own_path(item: Mapping[str, Any]) -> str:
    """The path at which it was kept, below a folder that stands for its job's."""
    path = str(item["path"]).rstrip("/")
    return path.rsplit("/", 1)[-1] if path.startswith(("/", "~")) else path


def find_target(bring: Mapping[str, Any], own: str) -> Path:
    """The place of one tree, `own` being where it lies below the path that was asked for."""
    check_reach(bring)
    base = bring["target"].rstrip("/")
    text = f"{base}/{own}" if base and own else base or own
    return resolve_inside(text, bring["root"], f"'{bring['path'] or own}'")


def put_text(bring: Mapping[str, Any]) -> None:
    """A text, as a file."""
    if not bring["path"]:
        raise StepError("it has no path to be a file at")
    target = find_target(bring, "")
    with temporary_folder(target) as temporary:
        (temporary / "new").write_text(bring["of"], encoding="utf-8")
        put(temporary / "new", target, is_read_only=bring["is_read_only"])
    say(f"a text of {len(bring['of'])} characters, into {target}")


def make_folder(keep: Mapping[str, Any]) -> None:
    """A folder that the job keeps is there from the beginning."""
    path = resolve_inside(keep["target"], keep["root"], f"'{keep['path']}'")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise StepError(
            f"{name_thing(keep, repr(keep['path']))} is no folder, and is to be kept as one"
        ) from None


def name_source(bring: Mapping[str, Any]) -> str:
    """What is brought, in words."""
    of, name = bring["of"], f" '{bring['name']}'" if bring["name"] else ""
    match bring["kind"]:
        case "job":
            return f"what job '{of}' kept{name}"
        case "tag":
            return f"what is tagged '{of}'{name}"
        case "run":
            return f"what run '{of}' kept{name}"
        case "last":
            return f"what job '{bring['job']}' of '{of}' kept last{name}"
        case "text":
            return f"the text '{bring['path']}'"
        case kind:
            return f"the {kind} '{of}'"


run(main)
