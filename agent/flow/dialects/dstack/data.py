"""`artifacts`, `cache`, `deps`, `depends-on` and `runs`: what a workflow brings along, and what is kept of it.

| written | is |
| --- | --- |
| `depends-on: [name]` | that workflow runs first, in the same run; its artifacts lie at their paths |
| `depends-on: [name:tag]`, `deps: [{tag: tag}]`, `deps: [":tag"]` | what has the tag |
| `deps: [{workflow: name}]`, `deps: [name]` | what the last run of it kept that succeeded |
| `runs: [name]` of tensorboard | what that run kept |
| `owner/repo/` before a name | the project of that name |
"""

import re
from dataclasses import dataclass
from typing import Final

from agent.flow.data import BroughtData, KeptData
from agent.flow.dialects.dstack.parts import is_set, strip_path
from agent.flow.reading import Reader
from agent.flow.source import Mapping, Node
from agent.flow.tidied import list_fields, list_items, text_of

FLOW: Final = (
    ".dstack"  # what every flow of this language is called: a workflow's runs are found by its name alone
)
SHOWN: Final = ".tensorboard"  # where the runs lie that a tensorboard shows
_FILE: Final = re.compile(
    r"[^./][^/]*\.[A-Za-z][A-Za-z0-9]{0,4}$"
)  # such as model.pt: a file, and no folder to be made
_OWNED: Final = 3  # OWNER/REPO/NAME


@dataclass(frozen=True, slots=True)
class Need:
    """A workflow that runs before, in the same run."""

    name: str
    node: Node


def read_needs(reader: Reader, node: Node | None) -> tuple[list[Need], list[BroughtData]]:
    """`depends-on`: the workflows that run before; what they, and tags, leave here."""
    needs: list[Need] = []
    brings: list[BroughtData] = []
    for item in list_items(node):
        text = text_of(item)
        name, colon, tag = text.rpartition(":")
        if colon:
            brings += _bring_tag(reader, item, _place_tag(name, tag))
            continue
        project, name = _split(reader, item, text)
        if project:
            reader.report(
                item,
                f"'{text}' is another project's, and runs there",
                f"`deps: [{{workflow: {text}}}]` takes what its last run kept",
            )
        elif name:
            needs.append(Need(name, item))
            brings.append(BroughtData("job", name, item.position, is_optional=True))  # it may keep nothing
    return needs, brings


def read_dependencies(reader: Reader, node: Node | None) -> tuple[list[BroughtData], list[Need]]:
    """`deps`: what is brought, and the workflows of this project that are named."""
    brings: list[BroughtData] = []
    named: list[Need] = []
    for item in list_items(node):
        fields = list_fields(item)
        tag, workflow = fields.get("tag"), fields.get("workflow")
        text = text_of(item)
        if isinstance(item, Mapping) and (tag is None) == (workflow is None):
            reader.report(
                item, "a dependency is a workflow or a tag", "write {workflow: NAME} or {tag: NAME}"
            )
        elif tag is not None or text.startswith(":"):
            brings += _bring_tag(reader, tag or item, text_of(tag) or text[1:])
        else:
            place = workflow or item
            project, name = _split(reader, place, text_of(place))
            if name:
                brings.append(BroughtData("last", FLOW, place.position, job=name, project=project))
            if name and not project:
                named.append(Need(name, place))
    return brings, named


def read_runs(reader: Reader, node: Node | None) -> list[BroughtData]:
    """`runs` of tensorboard: what these runs kept, each in a folder of its own name."""
    brings: list[BroughtData] = []
    if node is not None and not list_items(node):
        reader.report(node, "there is no run to be shown", "write `- NAME`")
    for item in list_items(node):
        name = text_of(item).strip()
        if "/" in name:
            reader.report(
                item, f"'{name}' is no name of a run", "write NAME or NUMBER, as `agent run list` has it"
            )
            continue
        brings.append(BroughtData("run", name, item.position, path=f"{SHOWN}/{name}"))
    return brings


def read_artifacts(reader: Reader, node: Node | None, home: str = "") -> list[KeptData]:
    """`artifacts`: each a path, or a path that is kept while the workflow runs."""
    kept: list[KeptData] = []
    for item in list_items(node) if not isinstance(node, Mapping) else []:
        fields = list_fields(item)
        path = strip_path(text_of(fields.get("path")) if fields else text_of(item), home)
        if any(one.path == path for one in kept):
            reader.warn(item, f"'{path}' is among the artifacts already")
            continue
        live = is_set(fields.get("mount"))
        kept.append(
            KeptData(
                "artifact", path, item.position, always=True, live=live, makes_folder=not _FILE.search(path)
            )
        )
    return kept


def read_cache(node: Node | None, workflow: str, home: str = "") -> tuple[list[BroughtData], list[KeptData]]:
    """`cache`: folders that are brought when an earlier run of the workflow left them, and kept again."""
    brings, keeps = [], []
    for item in list_items(node):
        path = strip_path(text_of(list_fields(item).get("path")) or text_of(item), home)
        key = f"{FLOW}/{workflow}/{path}"
        brings.append(BroughtData("cache", key, item.position, path=path, is_optional=True))
        keeps.append(KeptData("cache", path, item.position, name=key, always=True))
    return brings, keeps


def _place_tag(workflow: str, tag: str) -> str:
    """`owner/repo/name:tag` is a tag of that project; the workflow of `name:tag` says nothing more."""
    names = workflow.split("/")
    return "/".join([*names[:-1], tag]) if len(names) == _OWNED else tag


def _bring_tag(reader: Reader, node: Node, text: str) -> list[BroughtData]:
    project, name = _split(reader, node, text)
    return [BroughtData("tag", name, node.position, project=project)] if name else []


def _split(reader: Reader, node: Node, text: str) -> tuple[str, str]:
    """(project, name) of what `text` names; two empty texts for what is no such name, which is reported."""
    names = text.split("/")
    if len(names) not in (1, _OWNED) or not all(name.strip() for name in names):
        reader.report(node, f"'{text}' is no name of a dependency", "write NAME, or OWNER/REPO/NAME")
        return "", ""
    return "/".join(names[:-1]), names[-1]
