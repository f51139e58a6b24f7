"""Clone a repository into a folder of the job's data, whole or not at all."""

import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # an action leaves nothing in its folder
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _toolkit.data_folders import find_data_folder
from _toolkit.repository import Wishes, check_out, find_url, sign_in
from _toolkit.run_code import check_out_run, read_source
from _toolkit.step import get_input, run, say, set_output

_CLONE = Wishes(depth=0, clean=True, lfs=False, submodules="false")
_ANYBODY = "x-access-token"  # what hosts that take a token don't look at


def main() -> None:
    """The repository that the input names, or the run's own."""
    target = find_data_folder(get_input("path"))
    url, ref, source = get_input("url"), get_input("ref"), read_source()
    password = get_input("password") or os.environ.get("GIT_PASSWORD", "")
    if password and url:
        sign_in(url, get_input("username") or _ANYBODY, password)
    if (not url or url == source.get("url")) and not ref:
        commit, full = check_out_run(source, target, _CLONE, "give the input `url:`")
    else:
        commit, full = check_out(find_url(url or source.get("url", "")), ref, "", target, _CLONE)
    set_output("commit", commit)
    set_output("ref", full)
    say(
        f"checked out {commit or 'a folder without a commit'}{f' ({full})' if full else ''} into {get_input('path')}"
    )


run(main)
