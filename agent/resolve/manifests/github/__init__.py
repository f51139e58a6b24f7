"""Actions as GitHub has them: a folder with `action.yml`, or with nothing but a Dockerfile."""

from agent.resolve.manifests.github.front import check_action, parse_manifest, read_action, read_dockerfile

__all__ = ["check_action", "parse_manifest", "read_action", "read_dockerfile"]
