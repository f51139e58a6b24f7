"""YAML's merge key: `<<: *defaults` brings in the pairs of another mapping, or of several, that a mapping does not have itself.

GitHub reads `<<` as any other key; the languages whose files PyYAML or js-yaml read have it. Source: yaml.org/type/merge.html.
"""

from agent.flow.nodes import Mapping, Node, Scalar, Sequence, key_text

_MERGE = "<<"


def merge_keys(root: Node) -> Node:
    """The nodes with every merge key followed, in place. What cannot be merged stays as it is."""
    _merge(root, set())
    return root


def _merge(node: Node, seen: set[int]) -> None:
    if isinstance(node, Scalar) or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, Sequence):
        for item in node.items:
            _merge(item, seen)
        return
    assert isinstance(node, Mapping)
    for _, value in node.pairs:
        _merge(value, seen)
    if any(_merges(key, value) for key, value in node.pairs):
        node.pairs = _bring_in(node)


def _bring_in(node: Mapping) -> list[tuple[Scalar, Node]]:
    own = [(key, value) for key, value in node.pairs if not _merges(key, value)]
    names = {key_text(key) for key, _ in own}
    for key, value in node.pairs:
        if not _merges(key, value):
            continue
        for source in value.items if isinstance(value, Sequence) else [value]:
            assert isinstance(source, Mapping)
            for name, brought in source.pairs:
                if key_text(name) not in names:
                    names.add(key_text(name))
                    own.append((name, brought))
    return own


def _merges(key: Scalar, value: Node) -> bool:
    if not key.is_plain or key.value != _MERGE:
        return False
    sources = value.items if isinstance(value, Sequence) else [value]
    return bool(sources) and all(isinstance(source, Mapping) for source in sources)
