"""YAML as GitHub reads it: text in, nodes with exact positions out.

PyYAML's parser finds the structure (its C form where it is installed); what a plain scalar means is ours (`nodes`).
Anchors and aliases are followed; the merge key `<<` is an ordinary key. Hostile input is refused while its events
arrive: depth, size, number of nodes and the size after aliases are all counted on the way (`composing`).
"""

from typing import Final

from agent.flow.composing import YamlLimits, compose
from agent.flow.nodes import Mapping, Node, Scalar, Sequence, key_text, plain
from agent.flow.problems import InvalidFlowError, Problem, Severity
from agent.flow.yaml_errors import refuse

__all__ = [
    "YamlLimits",
    "Mapping",
    "Node",
    "Scalar",
    "Sequence",
    "find_repeated_keys",
    "key_text",
    "plain",
    "read_nodes",
    "read_source",
]

_LIMITS: Final = YamlLimits()


def read_source(text: str, file: str, *, limits: YamlLimits = _LIMITS) -> Node:
    """Read one YAML document for a reader that wants plain data: a key that stands twice is an error here.

    Raises InvalidFlowError, with every problem's position, when the text is not acceptable YAML.
    """
    node, problems = read_nodes(text, file, limits=limits)
    problems = [*problems, *find_repeated_keys(node)]
    if any(problem.severity is Severity.ERROR for problem in problems):
        raise InvalidFlowError(file, problems)
    return node


def read_nodes(text: str, file: str, *, limits: YamlLimits = _LIMITS) -> tuple[Node, list[Problem]]:
    """Read one YAML document; repeated keys stay in the nodes, and what is odd but readable comes back as problems.

    Raises InvalidFlowError when no nodes can be made of the text at all.
    """
    if len(text) > limits.characters:
        raise refuse(file, 1, 1, f"The maximum file size of {limits.characters} characters has been exceeded")
    return compose(text.removeprefix("\ufeff"), file, limits)


def find_repeated_keys(node: Node) -> list[Problem]:
    """A problem for each key that stands twice in its mapping."""
    problems: list[Problem] = []
    seen_nodes: set[int] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if isinstance(current, Scalar) or id(current) in seen_nodes:
            continue
        seen_nodes.add(id(current))
        if isinstance(current, Sequence):
            waiting.extend(current.items)
        else:
            assert isinstance(current, Mapping)
            names: set[str] = set()
            for key, value in current.pairs:
                name = key_text(key)
                if name in names:
                    problems.append(Problem(key.position, f"'{name}' is already defined"))
                names.add(name)
                waiting.append(value)
    problems.sort(key=lambda problem: (problem.position.line, problem.position.column))
    return problems
