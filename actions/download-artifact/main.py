"""Get what other jobs of this run have kept."""

import fnmatch
import os
import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # an action leaves nothing in its folder
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _toolkit.artifacts import Artifact, ArtifactStore, check_artifact_name, open_store
from _toolkit.folders import keep_belongings, move_into, temporary_folder
from _toolkit.step import StepError, get_flag, get_input, run, say, set_output
from _toolkit.step import workspace as find_workspace


def main() -> None:
    """Choose, fetch, check, unpack, and only then move into place."""
    name, pattern = get_input("name"), get_input("pattern")
    is_merged = get_flag("merge-multiple")
    path = os.path.expanduser(get_input("path", "."))  # noqa: PTH111 - Path's raises where there is no home
    target = Path(os.path.normpath(find_workspace() / path))
    store = open_store()
    chosen = choose(store.list(), name, pattern)
    with temporary_folder(target) as temporary:
        fetched = []
        for number, artifact in enumerate(chosen):
            place = target if name or is_merged else target / check_artifact_name(artifact.name)
            said = fetch(store, artifact, temporary / str(number))
            keep_belongings(temporary / str(number) / "files", place, find_workspace())
            fetched.append((temporary / str(number) / "files", place, said))
        for files, place, said in fetched:
            move_into(files, place)
            say(f"{said}, into {place}")
    set_output("download-path", str(target))


def choose(artifacts: list[Artifact], name: str, pattern: str) -> list[Artifact]:
    """The artifacts that are asked for; one that is named must be there."""
    if name:
        chosen = [artifact for artifact in artifacts if artifact.name == name]
        if not chosen:
            there = ", ".join(sorted(artifact.name for artifact in artifacts)) or "none"
            raise StepError(
                f"Artifact not found for name: {name}",
                f"this run has: {there}; a job that uploads must be named in `needs:`",
            )
        return chosen[:1]
    matching = re.compile(fnmatch.translate(pattern or "*"))
    chosen = sorted(
        (artifact for artifact in artifacts if matching.match(artifact.name)), key=lambda one: one.name
    )
    say(f"{len(chosen)} of this run's {len(artifacts)} artifacts")
    return chosen


def fetch(store: ArtifactStore, artifact: Artifact, temporary: Path) -> str:
    """Bring the files of one artifact to `files` in `temporary`; gives what there is to say about it."""
    temporary.mkdir()
    return f"artifact '{artifact.name}': {store.fetch(artifact, temporary / 'files')}"


run(main)
