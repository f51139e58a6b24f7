"""Keep files of this job with the run."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True  # an action leaves nothing in its folder
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _toolkit.artifacts import check_artifact_name, open_store
from _toolkit.globs import find_files
from _toolkit.names import NOT_UPLOADED, check_names
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
    """Find the files, and send what the server does not have of them."""
    name = check_artifact_name(get_input("name", "artifact"))
    answer_to_nothing = get_choice("if-no-files-found", ("warn", "error", "ignore"))
    retention_days = get_number("retention-days", 0, 0, 3650)
    level = get_number("compression-level", 6, 0, 9)
    overwrite = get_flag("overwrite")
    found = find_files(get_input("path"), find_workspace(), with_hidden=get_flag("include-hidden-files"))
    count = found.file_count
    if not count:
        report_nothing(answer_to_nothing)
        return
    check_names((entry.name for entry in found.entries), NOT_UPLOADED)
    store = open_store()
    say(f"{count} {'file' if count == 1 else 'files'} below {found.root}")
    artifact, said = store.upload(
        name, found.entries, retention_days=retention_days, overwrite=overwrite, level=level
    )
    set_output("artifact-id", artifact.id)
    set_output("artifact-digest", artifact.digest.removeprefix("sha256:"))
    say(f"artifact '{name}': {human(artifact.size)}{said}, {artifact.digest}")


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
