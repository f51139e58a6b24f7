"""Action manifests: a front end for each language that they are written in, chosen by the file's name.

`action.yml`, `action.yaml` and a bare Dockerfile are GitHub's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from agent.errors import NotFoundError
from agent.flow.problems import Problem
from agent.resolve.manifests import github
from agent.resolve.manifests.model import ActionManifest


@dataclass(frozen=True, slots=True)
class ManifestFrontEnd:
    """What reads one kind of file. Both are given it, and its path as messages name it.

    `read` raises InvalidActionError when it can't be understood; `check` says what is odd in a valid one.
    """

    read: Callable[[Path, str], ActionManifest]
    check: Callable[[Path, str], list[Problem]] = lambda _file, _shown_as: []


_ACTION = ManifestFrontEnd(github.read_action, github.check_action)
_DOCKERFILE = ManifestFrontEnd(github.read_dockerfile)

# In the order in which a folder is searched: the first that is there is the action's.
FRONT_ENDS: Mapping[str, ManifestFrontEnd] = MappingProxyType(
    {
        "action.yml": _ACTION,
        "action.yaml": _ACTION,
        "Dockerfile": _DOCKERFILE,
        "dockerfile": _DOCKERFILE,
    }
)


def read_manifest(folder: Path, shown_as: str = "") -> ActionManifest:
    """The manifest of the action in `folder`. `shown_as` names the folder in messages (default: its own path).

    Raises NotFoundError when there is none and InvalidActionError when it can't be understood.
    """
    place = shown_as or str(folder)
    for name, front in FRONT_ENDS.items():
        if (folder / name).is_file():
            return front.read(folder / name, f"{place}/{name}")
    raise NotFoundError(
        f"Can't find 'action.yml', 'action.yaml' or 'Dockerfile' under '{place}'",
        hint=_explain_missing(folder, place),
    )


def _explain_missing(folder: Path, place: str) -> str:
    if folder.is_dir():
        return "check the path behind `uses:`"
    own = "; an action of your own repository needs actions/checkout before it"
    return f"there is no such folder{own if place.startswith(('./', '/')) else ' in that repository'}"


def check_manifest(folder: Path, shown_as: str) -> list[Problem]:
    """What is odd in the manifest of the action in `folder` without making it invalid. Raises InvalidActionError."""
    for name, front in FRONT_ENDS.items():
        if (folder / name).is_file():
            return front.check(folder / name, str(Path(shown_as) / name))
    return []
