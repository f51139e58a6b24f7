"""`runs`: how the action runs, by its `using`."""

import shlex
from collections.abc import Callable
from collections.abc import Mapping as Pairs
from typing import Final, NamedTuple

from agent.flow.jinja import translate_text
from agent.flow.source import Mapping, Node
from agent.resolve.manifests.datatorch.nodes import ManifestNodes
from agent.resolve.manifests.datatorch.words import COMMANDS, HARMLESS, USING
from agent.resolve.manifests.model import (
    ActionOutput,
    CommandRuns,
    DockerRuns,
    HumanRuns,
    NodeRuns,
    PythonRuns,
    Runs,
    ScriptRuns,
)

_NODE_VERSION: Final = 20  # they never said which: any that is there, from this one on
_KINDS: Final = {"string": "string", "number": "number", "boolean": "boolean"}


class _Asked(NamedTuple):
    """What a manifest says of how it runs, and of itself as far as a form shows it."""

    nodes: ManifestNodes
    node: Node
    pairs: dict[str, Node]
    name: str
    about: str
    outputs: Pairs[str, ActionOutput]

    def require(self, *keys: str) -> str:
        """The text of the first of `keys` that is there; that none is, is noted."""
        found = next((key for key in keys if key in self.pairs), keys[0])
        text = self.nodes.text(self.pairs, found).strip()
        if not text:
            self.nodes.refuse(self.pairs.get(found, self.node), f"Required property is missing: {keys[0]}")
        return text


def read_runs(
    nodes: ManifestNodes,
    node: Node | None,
    *,
    name: str,
    about: str,
    outputs: Pairs[str, ActionOutput],
) -> Runs | None:
    """How the action runs; None where that can't be told, which is noted."""
    if node is None:
        return None
    pairs = nodes.pairs(node, "`runs:` is a mapping with `using:`")
    using = nodes.text(pairs, "using").lower()
    reader = _READERS.get(using)
    if reader is not None:
        return reader(_Asked(nodes, node, pairs, name, about, outputs))
    if isinstance(node, Mapping):
        complaint = f"'using: {using[:80]}' is not supported" if using else "Missing 'using' value"
        nodes.refuse(pairs.get("using", node), complaint, f"use {', '.join(USING)}")
    return None


def _read_command(asked: _Asked) -> Runs | None:
    written = asked.require("command")
    if not written:
        return None
    place = asked.pairs["command"]
    translated = translate_text(written, is_shell=True)
    if translated.complaint:
        asked.nodes.refuse(place, translated.complaint, translated.hint)
    for root in sorted(translated.roots - HARMLESS):
        asked.nodes.refuse(
            place,
            f"`{root}` in a command is an injection: a shell would read whatever somebody gave as that value",
            'an input is in the environment: "$INPUT_NAME"; declare what you need of others as an input',
        )
    return CommandRuns(translated.text)


def _read_script(asked: _Asked) -> Runs | None:
    written = asked.require("main", "script")
    try:
        words = shlex.split(written)
    except ValueError as error:
        asked.nodes.refuse(asked.node, f"the script's arguments can't be read: {error}")
        return None
    return ScriptRuns(words[0].lstrip("/"), tuple(words[1:])) if words else None


def _read_node(asked: _Asked) -> Runs | None:
    main = asked.require("main").strip("/")
    return NodeRuns(_NODE_VERSION, main) if main else None


def _read_python(asked: _Asked) -> Runs | None:
    main = asked.require("main").strip("/")
    return PythonRuns(main, is_isolated=False) if main else None


def _read_docker(asked: _Asked) -> Runs | None:
    image = asked.require("image")
    if not image:
        return None
    is_built = image.startswith("./") or image == "Dockerfile"  # of its own folder: ours
    reference = image if is_built else f"docker://{image.removeprefix('docker://')}"
    return DockerRuns(reference, takes_words=False)


def _read_human(asked: _Asked) -> Runs | None:
    if not asked.outputs:
        hint = "declare under `outputs:` what the person fills in"
        asked.nodes.refuse(asked.node, "a form without fields: the action declares no outputs", hint)
        return None
    form: dict[str, object] = {
        "type": "object",
        "title": asked.name,
        "properties": {name: _describe_field(output) for name, output in asked.outputs.items()},
        "required": list(asked.outputs),
    }
    if asked.about:
        form["description"] = asked.about
    return HumanRuns(form)


def _describe_field(output: ActionOutput) -> dict[str, object]:
    field: dict[str, object] = {"type": _KINDS.get(output.type, "string")}
    if output.description:
        field["description"] = output.description
    if output.options:
        field["enum"] = list(output.options)
    return field


_READERS: Final[Pairs[str, Callable[[_Asked], Runs | None]]] = {
    **dict.fromkeys(COMMANDS, _read_command),
    "script": _read_script,
    "node": _read_node,
    "python": _read_python,
    "docker": _read_docker,
    "human": _read_human,
}
