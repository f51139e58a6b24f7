"""Limits of what a file of workflows may cost: those of every other flow."""

from typing import Final

from agent.flow.composing import YamlLimits

LIMITS: Final = YamlLimits(
    depth=50, characters=1024 * 1024, nodes=50_000, expanded_characters=5 * 1024 * 1024
)
