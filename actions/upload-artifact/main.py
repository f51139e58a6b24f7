"""Keep files of this job with the run."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True  # an action leaves nothing in its folder
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _toolkit.archive import Sink, check_names, write_zip
from _toolkit.artifacts import check_artifact_name, open_store
from _toolkit.globs import Found, find_files
from _toolkit.step import (
    StepError,
    get_choice,
    get_flag,
    get_input,
    get_number,
    human,
    run,
    say,
    set_output,
    warn,
)
from _toolkit.step import workspace as find_workspace


def main() -> None:
    """Find the files, pack them, and send the archive while it is being packed."""
    name = check_artifact_name(get_input("name", "artifact"))
    answer_to_nothing = get_choice("if-no-files-found", ("warn", "error", "ignore"))
    retention_days = get_number("retention-days", 0, 0, 3650)
    level = get_number("compression-level", 6, 0, 9)
    overwrite = get_flag("overwrite")
    found = find_files(get_input("path"), find_workspace(), with_hidden=get_flag("include-hidden-files"))
    if not found.files:
        report_nothing(answer_to_nothing)
        return
    members = name_members(found)
    store = open_store()
    say(f"{len(members)} {'file' if len(members) == 1 else 'files'} below {found.root}")

    def write(sink: Sink) -> None:
        write_zip(sink, members, level)

    artifact = store.upload(name, write, retention_days=retention_days, overwrite=overwrite)
    set_output("artifact-id", artifact.id)
    set_output("artifact-digest", artifact.digest.removeprefix("sha256:"))
    say(f"artifact '{name}': {human(artifact.size)}, {artifact.digest}")


def name_members(found: Found) -> list[tuple[Path, str]]:
    """Each file, links followed, with its name in the artifact."""
    members = [(path.resolve(), path.relative_to(found.root).as_posix()) for path in found.files]
    check_names(name for _, name in members)
    return members


def report_nothing(answer: str) -> None:
    """Say that `path` means no file, as loudly as was asked for."""
    message = (
        f"No files were found with the provided path: {get_input('path')}. No artifacts will be uploaded."
    )
    if answer == "error":
        raise StepError(message, "hidden files are left out unless include-hidden-files is true")
    if answer == "warn":
        warn(message)
    else:
        say(message)


run(main)
