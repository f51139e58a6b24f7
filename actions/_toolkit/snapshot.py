"""The caller's working tree: from the server as an archive, or already here in a local run."""

import os
import re
import shutil
from pathlib import Path

from _toolkit import http
from _toolkit.archive import untar
from _toolkit.folders import empty, move_into, temporary_folder
from _toolkit.step import StepError, say


def unpack(digest: str, target: Path, *, clean: bool) -> None:
    """Fetch the snapshot, check it, and only then put it into `target`."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise StepError(
            f"the snapshot's digest is {digest[:100]!a}", "this is not the author's mistake: report it"
        )
    server, token = os.environ.get("ACTIONS_RESULTS_URL", ""), os.environ.get("ACTIONS_RUNTIME_TOKEN", "")
    if not server or not token:
        raise StepError("the server that keeps the snapshot is not known", "ACTIONS_RESULTS_URL is not set")
    with temporary_folder(target) as temporary:
        archive = temporary / "snapshot.tar.gz"
        url = f"{server.rstrip('/')}/api/v1/snapshots/{digest}"
        came = http.download(url, archive, {"Authorization": f"Bearer {token}"})
        if f"sha256:{came}" != digest:
            raise StepError(f"the snapshot came as sha256:{came}, and is {digest}", "nothing was unpacked")
        count = untar(archive, temporary / "files")
        if clean and target.is_dir():
            empty(target, keep=temporary)
        move_into(temporary / "files", target)
    say(f"{count} files of the snapshot {digest[:19]}")


def copy_workspace(workspace: Path, target: Path) -> None:
    """In a local run the workspace is filled already; a `path` inside it gets a copy."""
    if target == workspace:
        say("the workspace holds the code already")
        return
    with temporary_folder(target) as temporary:
        ours = (
            workspace / ".git" / "flow-agent",
            workspace / ".git" / "refs" / "flow-agent",
        )  # of this very run
        around = {target, *target.parents, temporary, *ours}

        def is_target(folder: str, names: list[str]) -> set[str]:
            return {name for name in names if Path(folder, name) in around}

        shutil.copytree(workspace, temporary / "files", symlinks=True, ignore=is_target)
        move_into(temporary / "files", target)
    say(f"the workspace's code was copied into {target}")
