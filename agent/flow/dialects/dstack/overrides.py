"""Options of the command line that say something else than a workflow does: `--gpu 2`, `--memory 16GB`, `--env K=V`.

They become a companion of the file, so that they travel with the run, and a run that is started again has them again.
Workflows that run by their provider's name alone are made here, too: `--provider docker IMAGE`.
"""

import json
from collections.abc import Mapping as Values
from collections.abc import Sequence
from typing import Final

from agent.flow.dialects.dstack.parts import as_written
from agent.flow.source import Mapping, Node, Scalar, key_text, read_nodes
from agent.flow.source import Sequence as List

COMPANION: Final = "command-line.json"
_PLACE: Final = "command line"
# By option: where the value stands in a workflow, and whether one follows. Names as dstack 0.0.5 and 0.7 had them.
_KEYS: Final[Values[str, tuple[str, ...]]] = {
    "requirements": ("requirements",),
    "env": ("env",),
    "artifact": ("artifacts",),
    "dep": ("deps",),
    "working-dir": ("working_dir",),
    "interruptible": ("resources", "interruptible"),
    "cpu": ("resources", "cpu"),
    "memory": ("resources", "memory"),
    "gpu": ("resources", "gpu", "count"),
    "gpu-name": ("resources", "gpu", "name"),
    "gpu-memory": ("resources", "gpu", "memory"),
    "shm-size": ("resources", "shm_size"),
    "ports": ("ports",),
    "nnodes": ("nodes",),
    "entrypoint": ("entrypoint",),
    "output": ("output",),
    "logdir": ("logdir",),
}
_LISTS: Final = ("env", "artifact", "dep")  # may be given several times
_FLAGS: Final = ("interruptible",)
OPTIONS: Final[Values[str, bool]] = {name: name not in _FLAGS for name in _KEYS}
# Of a provider that is run by its name, what its first word is.
_SUBJECTS: Final = {
    "docker": "image",
    "python": "file",
    "torchrun": "file",
    "gradio": "file",
    "streamlit": "target",
    "fastapi": "app",
    "curl": "url",
}
_WITH_ARGS: Final = ("python", "torchrun", "gradio", "streamlit", "fastapi")


def write_overrides(workflows: Sequence[str], given: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The companion that says the options for these workflows: its path and text."""
    said: dict[str, object] = {}
    for name, value in given:
        inner = said
        *above, last = _KEYS[name]
        for key in above:
            inner = inner.setdefault(key, {})  # type: ignore[assignment]
        if name in _LISTS:
            listed = inner.setdefault(last, [])
            assert isinstance(listed, list)
            listed.append(value)
        else:
            inner[last] = True if name in _FLAGS else value
    return COMPANION, json.dumps(dict.fromkeys(workflows, said), ensure_ascii=False)


def write_workflow(provider: str, subject: str, command: str) -> str:
    """The text of a file whose one workflow, of its provider's name, runs what the command line says."""
    workflow: dict[str, object] = {"name": provider, "provider": provider}
    if subject and provider == "tensorboard":
        workflow["runs"] = subject.split(",")
    elif subject:
        workflow[_SUBJECTS.get(provider, "subject")] = subject
    if command:
        workflow["commands"] = [command]
    if provider in _WITH_ARGS:
        workflow["args"] = ["${{ run.args }}"]
    return json.dumps({"workflows": [workflow]}, ensure_ascii=False)


def read_overrides(texts: Values[str, str]) -> dict[str, Mapping]:
    """What the command line says of workflows, by name, as nodes of a place of its own."""
    text = texts.get(COMPANION)
    if text is None:
        return {}
    root, _ = read_nodes(text, _PLACE)
    assert isinstance(root, Mapping)
    return {key_text(key): value for key, value in root.pairs if isinstance(value, Mapping)}


def override(node: Mapping, said: Mapping) -> Mapping:
    """The workflow with what was said in place of its own: resources one by one, and the environment beside its own."""
    result = Mapping(node.file, node.line, node.column)
    over = {key_text(key): (key, value) for key, value in said.pairs}
    for key, value in node.pairs:
        name = key_text(key)
        _, new = over.pop(name, (key, None))
        result.pairs.append((key, value if new is None else _join(name, value, new)))
    result.pairs += over.values()
    return result


def _join(name: str, old: Node, new: Node) -> Node:
    if name == "env" and isinstance(old, List) and isinstance(new, List):
        joined = List(old.file, old.line, old.column)
        joined.items = [*old.items, *new.items]
        return joined
    if name == "env" and isinstance(old, Mapping) and isinstance(new, List):
        added = [_split_variable(item) for item in new.items]
        names = {key_text(key) for key, _ in added}
        return _mapping(old, [*(pair for pair in old.pairs if key_text(pair[0]) not in names), *added])
    if name == "gpu" and isinstance(old, Scalar) and isinstance(new, Mapping):
        count = (Scalar(old.file, old.line, old.column, "count", "count", is_plain=True), old)
        return new if new.find("count") is not None else _mapping(new, [count, *new.pairs])
    if name in ("resources", "gpu") and isinstance(old, Mapping) and isinstance(new, Mapping):
        return override(old, new)
    return new


def _split_variable(item: Node) -> tuple[Scalar, Node]:
    name, _, value = as_written(item).partition("=")
    key, new = (
        Scalar(item.file, item.line, item.column, text, text, is_plain=False) for text in (name, value)
    )
    return key, new


def _mapping(place: Node, pairs: list[tuple[Scalar, Node]]) -> Mapping:
    result = Mapping(place.file, place.line, place.column)
    result.pairs = pairs
    return result
