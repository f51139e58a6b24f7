"""`agent tag add TAG --path FOLDER...`: folders of this machine get a tag, as if a run had kept them.

They belong to a run that does nothing, which has the tag; so all that is true of what runs keep is true of them.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.cli.artifact import upload_artifact
from agent.cli.client import Client
from agent.cli.unpacking import load_toolkit
from agent.errors import NotFoundError, UsageError

_FLOW = """\
name: "folders tagged {tag}"
on: repository_dispatch
jobs:
  folders: {{runs-on: self-hosted, if: false, steps: [{{run: "true"}}]}}
"""


def tag_folders(client: Client, tag: str, paths: Sequence[Path], *, shows: bool) -> dict[str, Any]:
    """Upload the folders (or files), and tag them when all have come; the tag's view. Raises UsageError before anything is sent."""
    trees, archives, steps = (load_toolkit(name) for name in ("trees", "archive", "step"))
    found = {}
    for path in paths:
        label = _label(path)
        if label in found:
            raise UsageError(f"two of the paths would be called '{label}'", where=str(path))
        try:
            found[label] = trees.scan_tree(path, "")
        except FileNotFoundError:
            raise NotFoundError("there is no such folder or file", where=str(path)) from None
        except steps.StepError as error:
            raise UsageError(str(error)) from None
    flow = {"file": f"tag {tag}", "text": _FLOW.format(tag=tag)}
    run = int(client.post(client.in_project("/api/v1/runs"), {"flow": flow})["run"])
    with tempfile.TemporaryDirectory(prefix="agent-tag-") as folder:
        archive = Path(folder) / "archive.zip"
        for label, tree in found.items():
            with archive.open("wb") as file:
                archives.write_tree(file, tree.entries)
            noted = {"kept_path": label, "kept_file": "true" if tree.is_file else "false"}
            upload_artifact(client, run, archive, label, shows=shows, noted=noted)
    view: dict[str, Any] = client.put(f"/api/v1/runs/{run}/tags/{tag}", {})
    if shows:
        sys.stderr.write(f"run {run} has them\n")
    return view


def _label(path: Path) -> str:
    """What a folder is called, and where it lies for who is brought it: its name."""
    return path.resolve().name or "root"
