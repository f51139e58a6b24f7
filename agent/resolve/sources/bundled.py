"""The actions that ship with this product: `flow-agent/<name>@v1` needs no network.

The owner is reserved, in whatever letters it is written: who has that name at some host is a stranger, and what doesn't ship is
refused and never looked for there.
"""

from pathlib import Path

from agent.config import bundled
from agent.errors import RefusedError
from agent.resolve.reference import RepositoryReference

OWNER = "flow-agent"
REF = "v1"


def find_bundled(reference: RepositoryReference) -> Path | None:
    """The folder of the bundled action that `reference` names, or None when it names nothing that ships."""
    name = reference.repository
    if reference.owner != OWNER or reference.ref != REF or reference.path or name.startswith(("_", ".")):
        return None
    folder = bundled("actions") / name
    return folder if folder.is_dir() else None


def refuse_reserved(reference: RepositoryReference) -> None:
    """Raises RefusedError for what only a stranger could have under our name. To be asked before a name becomes an address."""
    if reference.owner.casefold() != OWNER:
        return
    ships = sorted(
        entry.name for entry in bundled("actions").iterdir() if not entry.name.startswith(("_", "."))
    )
    raise RefusedError(
        f"'{reference}' does not ship with this product, and its owner's name is reserved for what does",
        where=str(reference),
        hint=f"there are {', '.join(f'{OWNER}/{name}@{REF}' for name in ships)}; write another repository's full address",
    )
