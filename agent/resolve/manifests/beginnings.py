"""Home of a new action: what its first files say of where it lies. Each language's front end has the files."""

from typing import NamedTuple


class ActionHome(NamedTuple):
    """Where a new action lies: its folder in the repository ("": that is it), and what others write behind `uses:`."""

    path: str
    uses: str
    top: str  # the repository's folder, as a person at this prompt would name it
