"""Fill the workspace with the code that the run is about."""

import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # an action leaves nothing in its folder
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _toolkit import repository
from _toolkit.run_code import check_out_run, read_source
from _toolkit.step import StepError, get_choice, get_flag, get_input, get_number, run, say, set_output
from _toolkit.step import workspace as find_workspace


def main() -> None:
    """Do what the run's source asks for; each way sets the outputs itself."""
    workspace = find_workspace()
    target = Path(os.path.normpath(workspace / get_input("path", ".")))
    if not target.is_relative_to(workspace):
        raise StepError(f"the input 'path' leads out of the workspace: {target}")
    wishes = read_wishes()
    name, ref = get_input("repository"), get_input("ref")
    source = read_source()
    kind = source.get("kind", "none")
    if name:
        finish(*repository.check_out(repository.find_url(name), ref, "", target, wishes))
    elif kind == "git" and ref:
        finish(*repository.check_out(source.get("url", ""), ref, "", target, wishes))
    elif kind in {"snapshot", "folder"} and ref:
        raise StepError(
            "this run is of a working tree, which has no other 'ref'", "name a `repository:` with it"
        )
    elif kind not in {"git", "snapshot", "folder"} and not get_flag("required", default=True):
        say("this run has no code")
    else:
        finish(*check_out_run(source, target, wishes, "give the input `repository:`"))


def read_wishes() -> repository.Wishes:
    """What the inputs say about how a repository is checked out."""
    return repository.Wishes(
        depth=get_number("fetch-depth", 1, 0, 10**8),
        clean=get_flag("clean", default=True),
        lfs=get_flag("lfs", default=False),
        submodules=get_choice("submodules", ("false", "true", "recursive")),
    )


def finish(commit: str, ref: str) -> None:
    """Give the outputs."""
    set_output("commit", commit)
    set_output("ref", ref)
    say(f"checked out {commit or 'a folder without a commit'}{f' ({ref})' if ref else ''}")


run(main)
