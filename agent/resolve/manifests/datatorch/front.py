"""DataTorch's manifests: `action-datatorch.yaml`.

What the old agent ran without a look at the schema runs here too: unknown keys, a long name or a strange id are warnings of
`check_action`. What can't be meant (no `runs`, a type that nothing can be cast to, a value handed to a shell) is an error, all
of it at once, each at its place.
Source: datatorch/python `action.schema.json`, `agent/pipelines/action/action.py`, `agent/pipelines/runner/`.
"""

from pathlib import Path
from types import MappingProxyType

from agent.flow.expressions import to_text
from agent.flow.problems import Problem, Severity
from agent.flow.source import Mapping, Node, Scalar, Sequence, YamlLimits
from agent.resolve.manifests.datatorch.nodes import ManifestNodes
from agent.resolve.manifests.datatorch.oddities import list_oddities
from agent.resolve.manifests.datatorch.runs import read_runs
from agent.resolve.manifests.datatorch.words import TYPES
from agent.resolve.manifests.model import ActionInput, ActionManifest, ActionOutput, InvalidActionError
from agent.resolve.manifests.text import read_nodes, read_text

CONVENTIONS = "datatorch"
_LIMITS = YamlLimits(depth=100, characters=1024 * 1024)


def read_action(file: Path, shown_as: str) -> ActionManifest:
    """The action that a file describes; `shown_as` names it in messages. Raises InvalidActionError."""
    return parse_manifest(read_text(file, shown_as), shown_as)


def check_action(file: Path, shown_as: str) -> list[Problem]:
    """What is odd in such a file without making it invalid. Raises InvalidActionError."""
    return list_oddities(read_nodes(read_text(file, shown_as), shown_as, _LIMITS))


def parse_manifest(text: str, file: str) -> ActionManifest:
    """The manifest that `text` is; `file` names it in messages. Raises InvalidActionError."""
    nodes = ManifestNodes()
    manifest = _read(nodes, read_nodes(text, file, _LIMITS))
    errors = [problem for problem in nodes.problems if problem.severity is Severity.ERROR]
    if errors or manifest is None:
        errors.sort(key=lambda problem: (problem.position.line, problem.position.column))
        raise InvalidActionError(file, errors)
    return manifest


def _read(nodes: ManifestNodes, root: Node) -> ActionManifest | None:
    top = nodes.pairs(root, "an action's manifest is a mapping with `name:` and `runs:`")
    if isinstance(root, Mapping):
        for key in ("name", "runs"):
            if key not in top:
                nodes.refuse(root, f"Required property is missing: {key}")
    inputs = {name: _read_input(nodes, name, node) for name, node in nodes.pairs(top.get("inputs")).items()}
    outputs = {
        name: _read_output(nodes, name, node) for name, node in nodes.pairs(top.get("outputs")).items()
    }
    name, about = nodes.text(top, "name"), nodes.text(top, "description")
    runs = read_runs(nodes, top.get("runs"), name=name, about=about, outputs=outputs)
    if runs is None:
        return None
    return ActionManifest(
        name=name,
        description=about,
        inputs=MappingProxyType(inputs),
        outputs=MappingProxyType(outputs),
        runs=runs,
        is_cached=nodes.flag(top, "cache"),
        conventions=CONVENTIONS,
        env=_read_env(nodes, top.get("env")),
    )


def _read_input(nodes: ManifestNodes, name: str, node: Node) -> ActionInput:
    pairs = nodes.pairs(node)
    return ActionInput(
        name=name,
        description=nodes.text(pairs, "description"),
        required=nodes.flag(pairs, "required"),
        default=nodes.template(pairs.get("default")),
        deprecation_message=nodes.text(pairs, "deprecationMessage"),
        type=_read_type(nodes, pairs, TYPES),
        options=_read_options(nodes, pairs),
    )


def _read_output(nodes: ManifestNodes, name: str, node: Node) -> ActionOutput:
    pairs = nodes.pairs(node)
    return ActionOutput(
        name=name,
        description=nodes.text(pairs, "description"),
        type=nodes.text(pairs, "type") or "string",
        options=_read_options(nodes, pairs),
    )


def _read_type(nodes: ManifestNodes, pairs: dict[str, Node], known: dict[str, str]) -> str:
    written = nodes.text(pairs, "type")
    if written and written not in known:
        nodes.refuse(pairs["type"], f"there is no type '{written[:80]}'", f"one of {', '.join(known)}")
    return known.get(written, "")


def _read_options(nodes: ManifestNodes, pairs: dict[str, Node]) -> tuple[object, ...]:
    node = pairs.get("options")
    if node is None:
        return ()
    if not isinstance(node, Sequence):
        nodes.refuse(node, "A sequence was expected", "write `options:` as a list")
        return ()
    return tuple(nodes.template(item) for item in node.items)


def _read_env(nodes: ManifestNodes, node: Node | None) -> tuple[str, ...]:
    """Names alone: a value in a file that is published is a secret no more."""
    if isinstance(node, Sequence):
        return tuple(to_text(item.value) for item in node.items if isinstance(item, Scalar))
    pairs = nodes.pairs(node)
    for name, value in pairs.items():
        if isinstance(value, Scalar) and value.value is not None:
            nodes.refuse(
                value,
                f"`env` names what the action needs, and holds no values: '{name}' has one",
                "write `description:` below the name; the value is a secret of that name",
            )
    return tuple(pairs)
