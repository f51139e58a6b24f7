"""Limits of what a workflow file may cost at GitHub. Source: actions/runner `TemplateMemory` and `YamlObjectReader`."""

from typing import Final

from agent.flow.composing import YamlLimits

LIMITS: Final = YamlLimits(
    depth=50,
    characters=1024 * 1024,
    nodes=50_000,
    expanded_characters=5 * 1024 * 1024,  # 10 MiB as GitHub keeps them
)
