"""The actions that ship with this product: `flow-agent/<name>@v1` needs no network."""

from pathlib import Path

from agent.config import bundled
from agent.resolve.reference import RepositoryReference

OWNER = "flow-agent"
REF = "v1"


def find_bundled(reference: RepositoryReference) -> Path | None:
    """The folder of the bundled action that `reference` names, or None: then it is looked for with git."""
    name = reference.repository
    if reference.owner != OWNER or reference.ref != REF or reference.path or name.startswith(("_", ".")):
        return None
    folder = bundled("actions") / name
    return folder if folder.is_dir() else None
