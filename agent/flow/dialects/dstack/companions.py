"""Companions of a file of workflows: other files of workflows, `variables.yaml`, `providers.yaml`.

`.dstack/workflows.yaml` and `.dstack/workflows/*.yaml` are read together, in this order; of two workflows of one name the first
counts. Outside of `.dstack` a file has its own folder's variables and providers, where these are what they are called.
"""

import posixpath
from collections.abc import Mapping as Texts
from typing import Final

from agent.flow.composing import YamlLimits
from agent.flow.dialects.dstack.overrides import COMPANION
from agent.flow.folders import SUFFIXES
from agent.flow.merging import merge_keys
from agent.flow.problems import InvalidFlowError, Problem
from agent.flow.source import Mapping, find_repeated_keys, read_nodes

VARIABLES: Final = ("variables.yaml", "variables.yml")
PROVIDERS: Final = ("providers.yaml", "providers.yml")
_WORKFLOWS: Final = ("workflows.yaml", "workflows.yml")
_FOLDER, _BELOW = ".dstack", ".dstack/workflows"
_ANY: Final = ("*.yaml", "*.yml")
_BOTH: Final = (*VARIABLES, *PROVIDERS)
_ALWAYS: Final = (COMPANION,)  # of the command line, and on no disk
_BESIDE: Final = (*_BOTH, *_WORKFLOWS, *(f"workflows/{name}" for name in _ANY))
_ABOVE: Final = tuple(f"../{name}" for name in (*_BOTH, *_WORKFLOWS))
_BACKSLASH: Final = chr(92)


def list_companions(file: str) -> tuple[str, ...]:
    """The patterns of what is read with the file of that name; a stored flow's name has no ending, and tells no place."""
    path = f"/{file.replace(_BACKSLASH, '/')}"
    folder, _, name = path.rpartition("/")
    if not name.endswith(SUFFIXES):
        return (*_ALWAYS, *_ABOVE, *_ANY, *_BESIDE)
    if folder.endswith(f"/{_BELOW}"):
        return (*_ALWAYS, *_ABOVE, *_ANY)
    is_placed = folder.endswith(f"/{_FOLDER}") or (not folder and name in _WORKFLOWS)
    return (*_ALWAYS, *(_BESIDE if is_placed else _BOTH))


def find_text(texts: Texts[str, str], names: tuple[str, ...]) -> str:
    """The path of the first companion that has one of those names; empty where there is none."""
    return next((path for name in names for path in texts if posixpath.basename(path) == name), "")


def list_workflow_files(texts: Texts[str, str]) -> list[str]:
    """The paths of the other files of workflows, in the order in which they count."""
    beside = {*VARIABLES, *PROVIDERS, COMPANION}
    paths = [path for path in texts if posixpath.basename(path) not in beside or _is_below(path)]
    return sorted(paths, key=lambda path: (posixpath.basename(path) not in _WORKFLOWS, path))


def place_of(file: str, path: str) -> str:
    """A companion's name as problems show it: beside its flow's."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(file.replace("\\", "/")), path))


def read_companion(text: str, name: str, limits: YamlLimits) -> tuple[Mapping | None, list[Problem]]:
    """The nodes of a companion, None where it is no mapping at all; and every problem that makes it none."""
    try:
        root, problems = read_nodes(text, name, limits=limits)
    except InvalidFlowError as error:
        return None, list(error.problems)
    if not isinstance(root, Mapping):
        return None, [*problems, Problem(root.position, f"{posixpath.basename(name)} is no mapping")]
    repeated = find_repeated_keys(root)
    merge_keys(root)
    return root, [*problems, *repeated]


def _is_below(path: str) -> bool:
    return posixpath.dirname(path).endswith("workflows")
