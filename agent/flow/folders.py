"""Folders that flows lie in: those of a repository that are looked through, and which of the files there are flows.

What else lies there is beside a flow (variables, providers) and is never read as one. A language whose files are told by
their place says so here; of all others, what stands in the file tells (`agent.flow.load`).
"""

import re
from typing import Final, NamedTuple

SUFFIXES: Final = (".yml", ".yaml", ".json")
_ANY: Final = r"[^/]*\.ya?ml"
_JSON_TOO: Final = r"[^/]*\.(?:ya?ml|json)"


class FlowFolder(NamedTuple):
    """A folder of a repository; `files` is the pattern of the names that flows have there."""

    path: str
    files: str = _ANY
    dialect: str = ""  # of all flows in it; empty: what stands in them tells


FLOW_FOLDERS: Final = (
    FlowFolder(".github/workflows"),
    FlowFolder(".flows", _JSON_TOO),
    FlowFolder(".dstack", r"workflows\.ya?ml", "dstack"),
    FlowFolder(".dstack/workflows", dialect="dstack"),
    FlowFolder(".gradient/workflows", dialect="gradient"),
)


def find_folder(folder: str) -> FlowFolder | None:
    """The folder of the table that `folder` is, in whatever repository."""
    return next((one for one in FLOW_FOLDERS if f"/{folder}".endswith(f"/{one.path}")), None)


def is_flow_file(path: str) -> bool:
    """Whether the file at `path` of a repository is a flow, as far as its place and its name tell."""
    folder, _, name = path.rpartition("/")
    known = find_folder(folder)
    return re.fullmatch(known.files if known else _ANY, name) is not None


def lies_beside_flows(file: str) -> bool:
    """Whether the file's place tells that it is none: it lies in a folder whose flows have names of their own, and has another."""
    folder, _, name = file.replace("\\", "/").rpartition("/")
    known = find_folder(folder) if folder else None
    return known is not None and bool(known.dialect) and re.fullmatch(known.files, name) is None


def find_dialect(file: str) -> str:
    """The language that a flow's place gives away; empty where it tells nothing."""
    folder, _, name = file.replace("\\", "/").rpartition("/")
    known = find_folder(folder) if folder else None
    return known.dialect if known and re.fullmatch(known.files, name) else ""


def name_files(name: str) -> tuple[str, ...]:
    """The files that a flow called `name` may be: it itself, and the file of that name in each folder of the table."""
    places = ("", *(f"{one.path}/" for one in FLOW_FOLDERS))
    files = (f"{place}{name}{suffix}" for place in places for suffix in SUFFIXES)
    return (name, *(file for file in files if not lies_beside_flows(file)))
