"""Actions as GitHub has them: a folder with `action.yml`, or with nothing but a Dockerfile."""

from agent.resolve.manifests.github.front import (
    check_action,
    inspect_action,
    parse_manifest,
    read_action,
    read_dockerfile,
)
from agent.resolve.manifests.github.surroundings import Surroundings

__all__ = [
    "Surroundings",
    "check_action",
    "inspect_action",
    "parse_manifest",
    "read_action",
    "read_dockerfile",
]
