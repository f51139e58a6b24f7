"""GitHub's manifests: `action.yml` or `action.yaml`, or a bare `Dockerfile`.

As tolerant as GitHub is: keys that it doesn't know are passed over, `required` is not enforced, a default may be any
scalar. As exact as we can be: what is wrong is said with file, line and column, all of it at once.
Source: actions/runner `ActionManifestManager.cs`, `action_yaml.json`. `using: python` is ours (docs/actions.md).
"""

import contextlib
from pathlib import Path
from types import MappingProxyType

from agent.flow.expressions import to_text
from agent.flow.problems import Problem
from agent.flow.source import (
    Mapping,
    Node,
    Scalar,
    Sequence,
    YamlLimits,
    key_text,
    plain,
)
from agent.resolve.manifests.github.steps import read_steps
from agent.resolve.manifests.github.surroundings import Surroundings
from agent.resolve.manifests.github.templates import CONTAINER, DEFAULT, OUTPUT, check_template
from agent.resolve.manifests.model import (
    ALWAYS,
    ActionInput,
    ActionManifest,
    ActionOutput,
    CompositeRuns,
    DockerRuns,
    HumanRuns,
    InvalidActionError,
    NodeRuns,
    PythonRuns,
    Runs,
)
from agent.resolve.manifests.text import read_nodes, read_text

_LIMITS = YamlLimits(depth=100, characters=10 * 1024 * 1024)  # GitHub's for a manifest


def read_action(file: Path, shown_as: str) -> ActionManifest:
    """The action that a file `action.yml` describes; `shown_as` names it in messages. Raises InvalidActionError."""
    return parse_manifest(read_text(file, shown_as), shown_as)


def check_action(file: Path, shown_as: str) -> list[Problem]:
    """What is odd in such a file without making it invalid. Raises InvalidActionError."""
    from agent.flow.load import find_front_end  # who runs an action reads no flow

    return find_front_end("github").check_action(read_nodes(read_text(file, shown_as), shown_as, _LIMITS))


def inspect_action(file: Path, shown_as: str, around: Surroundings) -> list[Problem]:
    """All that its author is to be told of such a file, whether or not it is valid, in the file's order."""
    from agent.resolve.manifests.github.inspection import inspect_nodes  # who runs an action asks none of it

    try:
        nodes = read_nodes(read_text(file, shown_as), shown_as, _LIMITS)
        reader = _Reader(shown_as)
        with contextlib.suppress(InvalidActionError):  # its problems are the reader's
            reader.read(nodes)
    except InvalidActionError as error:
        return list(error.problems)
    found = [*reader.problems, *check_action(file, shown_as), *inspect_nodes(nodes, around)]
    places = {(problem.position, problem.message): problem for problem in reversed(found)}
    return sorted(places.values(), key=lambda problem: (problem.position.line, problem.position.column))


def read_dockerfile(file: Path, _shown_as: str) -> ActionManifest:
    """The action that a bare Dockerfile is: its image, built and run, without inputs."""
    return ActionManifest(name=file.parent.name, runs=DockerRuns(image=file.name))


def parse_manifest(text: str, file: str) -> ActionManifest:
    """The manifest that `text` is; `file` names it in messages. Raises InvalidActionError."""
    return _Reader(file).read(read_nodes(text, file, _LIMITS))


_NO_PLUGIN = "use v4 or later of this action, which is a program of its own"
_OLD_NODES = {"node12": 20, "node16": 20, "node20": 20, "node24": 24}


class _Reader:
    """Reads one manifest and gathers what is wrong with it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def read(self, root: Node) -> ActionManifest:
        top = self._pairs(root, "an action's manifest is a mapping with `name:` and `runs:`")
        inputs = {key: self._input(key, node) for key, node in self._pairs(top.get("inputs")).items()}
        outputs = {key: self._output(key, node) for key, node in self._pairs(top.get("outputs")).items()}
        runs = self._runs(root, top.get("runs"), outputs)
        if self.problems or runs is None:
            self.problems.sort(key=lambda problem: (problem.position.line, problem.position.column))
            raise InvalidActionError(self.file, self.problems)
        return ActionManifest(
            name=self._text(top, "name"),
            description=self._text(top, "description"),
            inputs=MappingProxyType(inputs),
            outputs=MappingProxyType(outputs),
            runs=runs,
            is_cached=self._text(top, "cache").lower() == "true",
        )

    def _input(self, name: str, node: Node) -> ActionInput:
        pairs = self._pairs(node)
        check_template(pairs.get("default"), DEFAULT, self.problems)
        return ActionInput(
            name=name,
            description=self._text(pairs, "description"),
            required=self._text(pairs, "required").lower() == "true",
            default=_default(pairs.get("default")),
            deprecation_message=self._text(pairs, "deprecationMessage"),
        )

    def _output(self, name: str, node: Node) -> ActionOutput:
        pairs = self._pairs(node)
        value = pairs.get("value")
        check_template(value, OUTPUT, self.problems)
        return ActionOutput(name, self._text(pairs, "description"), None if value is None else plain(value))

    def _runs(self, root: Node, node: Node | None, outputs: dict[str, ActionOutput]) -> Runs | None:
        if node is None:
            self._add(
                root, "Required property is missing: runs", "an action says how it runs: docs/actions.md"
            )
            return None
        pairs = self._pairs(node, "`runs:` is a mapping with `using:`")
        using = self._text(pairs, "using").lower()
        if using in _OLD_NODES:
            return self._node(node, pairs, _OLD_NODES[using])
        if using == "python":
            return self._python(node, pairs)
        if using == "docker":
            return self._docker(node, pairs)
        if using == "composite":
            return self._composite(node, pairs)
        if using == "human":
            return self._human(pairs, outputs)
        if not using and "plugin" in pairs:
            self._add(
                pairs["plugin"],
                f"'plugin: {self._text(pairs, 'plugin')}' is built into GitHub's runner",
                _NO_PLUGIN,
            )
            return None
        at = pairs.get("using", node)
        known = "use 'composite', 'docker', 'human', 'node20', 'node24' or 'python' instead"
        missing = "Missing 'using' value"
        self._add(at, f"'using: {self._text(pairs, 'using')}' is not supported" if using else missing, known)
        return None

    def _node(self, node: Node, pairs: dict[str, Node], version: int) -> NodeRuns | None:
        main = self._required(node, pairs, "main")
        pre, pre_if, post, post_if = self._phases(pairs, "pre", "post")
        return NodeRuns(version, main, pre, pre_if, post, post_if) if main else None

    def _python(self, node: Node, pairs: dict[str, Node]) -> PythonRuns | None:
        main = self._required(node, pairs, "main")
        pre, pre_if, post, post_if = self._phases(pairs, "pre", "post")
        return PythonRuns(main, pre, pre_if, post, post_if) if main else None

    def _docker(self, node: Node, pairs: dict[str, Node]) -> DockerRuns | None:
        image = self._required(node, pairs, "image")
        pre, pre_if, post, post_if = self._phases(pairs, "pre-entrypoint", "post-entrypoint")
        args = pairs.get("args")
        if args is not None and not isinstance(args, Sequence):
            self._add(args, "A sequence was expected", "write `args:` as a list")
            return None
        env = self._pairs(pairs.get("env"))
        for words in (args, pairs.get("env")):
            check_template(words, CONTAINER, self.problems)
        return DockerRuns(
            image=image,
            entrypoint=self._text(pairs, "entrypoint"),
            args=tuple(plain(item) for item in args.items) if isinstance(args, Sequence) else (),
            env=MappingProxyType({key: plain(value) for key, value in env.items()}),
            pre_entrypoint=pre,
            pre_if=pre_if,
            post_entrypoint=post,
            post_if=post_if,
        )

    def _composite(self, node: Node, pairs: dict[str, Node]) -> CompositeRuns | None:
        steps = pairs.get("steps")
        if not isinstance(steps, Sequence):
            self._add(steps or node, "a composite action needs a list of steps", "write them under `steps:`")
            return None
        return CompositeRuns(read_steps(steps, self.problems))

    def _human(self, pairs: dict[str, Node], outputs: dict[str, ActionOutput]) -> HumanRuns | None:
        """What a person fills in: `form`, a JSON schema, else a text for each output."""
        node = pairs.get("form")
        if node is not None:
            form = plain(node)
            if not isinstance(form, dict):
                self._add(node, "A mapping was expected", "`form:` is a JSON schema of an object")
                return None
            return HumanRuns(form)
        fields = {
            name: {"type": "string", **({"description": item.description} if item.description else {})}
            for name, item in outputs.items()
        }
        return HumanRuns({"type": "object", "properties": fields, "required": list(fields)})

    def _phases(self, pairs: dict[str, Node], pre: str, post: str) -> tuple[str, str, str, str]:
        return (
            self._text(pairs, pre),
            _condition(self._text(pairs, "pre-if")),
            self._text(pairs, post),
            _condition(self._text(pairs, "post-if")),
        )

    def _required(self, node: Node, pairs: dict[str, Node], key: str) -> str:
        text = self._text(pairs, key)
        if not text:
            self._add(pairs.get(key, node), f"Required property is missing: {key}")
        return text

    def _pairs(self, node: Node | None, expected: str = "") -> dict[str, Node]:
        """The pairs of a mapping by key; nothing and null have none."""
        if node is None or (isinstance(node, Scalar) and node.value is None and not expected):
            return {}
        if not isinstance(node, Mapping):
            self._add(node, "A mapping was expected", expected)
            return {}
        return {key_text(key): value for key, value in node.pairs}

    def _text(self, pairs: dict[str, Node], key: str) -> str:
        node = pairs.get(key)
        if node is None:
            return ""
        if not isinstance(node, Scalar):
            self._add(node, f"'{key}' is text, not a list or a mapping")
            return ""
        return to_text(node.value)

    def _add(self, node: Node, message: str, hint: str = "") -> None:
        self.problems.append(Problem(node.position, message, hint))


def _default(node: Node | None) -> object:
    """A default as a template. What is not text is written as text: an action reads its inputs as text."""
    if node is None:
        return None
    return to_text(node.value) if isinstance(node, Scalar) else plain(node)


def _condition(text: str) -> str:
    """A `pre-if` or `post-if`: unlike a step's `if` it is not put behind `success()`."""
    bare = text.strip()
    if bare.startswith("${{") and bare.endswith("}}") and bare.count("${{") == 1:
        bare = bare[3:-2].strip()
    return bare or ALWAYS
