"""Action manifests: a front end for each language that they are written in, chosen by the file's name.

`action.yml`, `action.yaml` and a bare Dockerfile are GitHub's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from agent.errors import NotFoundError, RefusedError
from agent.flow.model import Position
from agent.flow.problems import Problem
from agent.resolve.manifests import github
from agent.resolve.manifests.beginnings import ActionHome
from agent.resolve.manifests.github import Surroundings
from agent.resolve.manifests.model import ActionManifest, InvalidActionError


@dataclass(frozen=True, slots=True)
class ManifestFrontEnd:
    """What reads one kind of file. Both are given it, and its path as messages name it.

    `read` raises InvalidActionError when it can't be understood; `check` says what is odd in a valid one.
    """

    read: Callable[[Path, str], ActionManifest]
    check: Callable[[Path, str], list[Problem]] = lambda _file, _shown_as: []
    # All that an author is to be told; None: what `read` refuses and what `check` says.
    inspect: Callable[[Path, str, Surroundings], list[Problem]] | None = None
    # By how it runs: makes the files of a new action of that name, by their names.
    beginnings: Mapping[str, Callable[[str], Mapping[str, str]]] = field(default_factory=dict)


_ACTION = ManifestFrontEnd(github.read_action, github.check_action, github.inspect_action)
_DOCKERFILE = ManifestFrontEnd(github.read_dockerfile)


# The other languages are imported when there is an action of theirs.
def _read_datatorch(file: Path, shown_as: str) -> ActionManifest:
    from agent.resolve.manifests import datatorch

    return datatorch.read_action(file, shown_as)


def _check_datatorch(file: Path, shown_as: str) -> list[Problem]:
    from agent.resolve.manifests import datatorch

    return datatorch.check_action(file, shown_as)


def _begin_datatorch(using: str) -> Callable[[str], Mapping[str, str]]:
    def begin(name: str) -> Mapping[str, str]:
        from agent.resolve.manifests.datatorch.beginning import make_files

        return make_files(name, using)

    return begin


_DATATORCH = ManifestFrontEnd(
    _read_datatorch,
    _check_datatorch,
    beginnings={using: _begin_datatorch(using) for using in ("python", "node", "cmd", "script", "human")},
)

# In the order in which a folder is searched: the first that is there is the action's. A bare Dockerfile is an action only
# where nothing else says what the folder is.
FRONT_ENDS: Mapping[str, ManifestFrontEnd] = MappingProxyType(
    {
        "action.yml": _ACTION,
        "action.yaml": _ACTION,
        "action-datatorch.yaml": _DATATORCH,
        "action-datatorch.yml": ManifestFrontEnd(_read_datatorch, _check_datatorch),
        "Dockerfile": _DOCKERFILE,
        "dockerfile": _DOCKERFILE,
    }
)
_BY_PATH = (
    _DATATORCH  # of a file that a reference names itself, whatever it is called: only that language can
)


BEGINNINGS = ("composite", "python", "node", "docker")  # of GitHub's language: how a new action may run


def begin_files(name: str, using: str, home: ActionHome) -> Mapping[str, str]:
    """The files of a new action by their names, in GitHub's language; those that begin with `#!` are programs."""
    from agent.resolve.manifests.github.beginning import make_files

    return make_files(name, using, home)


def read_action(place: Path, shown_as: str, within: Path | None = None) -> tuple[Path, ActionManifest]:
    """The folder and the manifest of the action at `place`: its folder, or its manifest's file. Raises as `read_manifest` does."""
    if not place.is_file():
        return place, read_manifest(place, shown_as, within)
    front = FRONT_ENDS.get(place.name, _BY_PATH)
    return place.parent, front.read(place, shown_as)


def read_manifest(folder: Path, shown_as: str = "", within: Path | None = None) -> ActionManifest:
    """The manifest of the action in `folder`. `shown_as` names the folder in messages (default: its own path).

    `within` is the repository of somebody else's: no link of it makes a manifest of what lies outside. Raises NotFoundError when
    there is none, InvalidActionError when it can't be understood, RefusedError when it lies outside.
    """
    place = shown_as or str(folder)
    for name, front in FRONT_ENDS.items():
        if (folder / name).is_file():
            if within is not None and not (folder / name).resolve().is_relative_to(within.resolve()):
                raise RefusedError(f"{name} is a link that leads out of the repository", where=place)
            return front.read(folder / name, f"{place}/{name}")
    raise NotFoundError(
        f"Can't find 'action.yml', 'action.yaml' or 'Dockerfile' under '{place}'",  # GitHub's sentence
        hint=_explain_missing(folder, place, is_fetched=within is not None),
    )


def _explain_missing(folder: Path, place: str, *, is_fetched: bool) -> str:
    if folder.is_dir():
        return "check the path behind `uses:`"
    if is_fetched or not place.startswith(("./", "/")):
        return "there is no such folder in that repository"
    inside = Path(place).parts  # as the workspace's user wrote it
    is_inside = place.startswith("./") and 0 < len(inside) <= len(folder.parents) and ".." not in inside
    workspace = folder.parents[len(inside) - 1] if is_inside else folder
    for above in workspace.parents if is_inside else ():
        if (above / ".git").exists() and (above / place).is_dir():
            return f"it is in '{above}', but jobs work in '{workspace}': run from there, or give `--workspace {above}`"
    return (
        "there is no such folder; an action of your own repository needs actions/checkout before it,"
        " and a local run from a folder within the repository `--workspace` with the top of it"
    )


def check_manifest(folder: Path, shown_as: str) -> list[Problem]:
    """What is odd in the manifest of the action in `folder` without making it invalid. Raises InvalidActionError."""
    for name, front in FRONT_ENDS.items():
        if (folder / name).is_file():
            return front.check(folder / name, str(Path(shown_as) / name))
    return []


def inspect_manifest(
    place: Path, shown_as: str, root: Path, is_kept: Callable[[Path], bool] | None = None
) -> list[Problem]:
    """All that the author of the action at `place` (its folder, or its manifest's file) is to be told, errors and warnings.

    `root` is its repository's folder; `is_kept` says whether git has a file of it. Raises AgentError for a manifest that is no text.
    """
    if place.is_file():
        file, shown = place, shown_as
    else:
        name = next((name for name in FRONT_ENDS if (place / name).is_file()), None)
        if name is None:
            return [_say_missing(place, shown_as)]
        file, shown = place / name, str(Path(shown_as) / name)
    front = FRONT_ENDS.get(file.name, _BY_PATH)
    if front.inspect is not None:
        return front.inspect(file, shown, Surroundings(file.parent, root, is_kept))
    try:
        front.read(file, shown)
    except InvalidActionError as error:
        return list(error.problems)
    return front.check(file, shown)


def _say_missing(folder: Path, shown_as: str) -> Problem:
    what = "action.yml" if folder.is_dir() else "folder"
    return Problem(
        Position(shown_as, 1, 1), f"there is no {what} here", "`agent action init DIR` begins an action"
    )
