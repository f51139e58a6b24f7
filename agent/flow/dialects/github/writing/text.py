"""YAML of plain data, as a person would write it and as `agent.flow.nodes` reads it: YAML 1.2, no anchors."""

from collections.abc import Mapping

import yaml

from agent.flow.nodes import resolve_plain

_BREAKS = "\x85\u2028\u2029\r"  # ends of lines to some readers of YAML
_WIDTH = 4096  # texts are not folded


class _Dumper(yaml.SafeDumper):
    """Keeps the order of keys, writes long texts as blocks, and quotes what YAML 1.2 would take for something else."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML asks
        """Whatever stands twice is written twice."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's
        """Lists stand deeper than their key."""
        super().increase_indent(flow, indentless=False)


def _write_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    lines = text.split("\n")
    is_odd = any(letter in text for letter in _BREAKS)
    starts_odd = text.startswith((" ", "\t", "\n"))
    is_block = len(lines) > 1 and not starts_odd and all(line == line.rstrip() for line in lines)
    is_text = isinstance(resolve_plain(text), str) if text else False
    style = '"' if is_odd else "|" if is_block else None if is_text else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)
# `on`, `yes` and their like are text in YAML 1.2, whose reader is meant: they need no quotes.
_Dumper.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if not (tag.endswith(":bool") and first in "yYnNoO")]
    for first, found in yaml.SafeDumper.yaml_implicit_resolvers.items()
}


def write_yaml(data: Mapping[str, object]) -> str:
    """The text of a YAML document."""
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH, default_flow_style=False
    )
    return text
