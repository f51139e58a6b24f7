"""Actions as DataTorch has them: a folder with `action-datatorch.yaml`."""

from agent.resolve.manifests.datatorch.front import check_action, parse_manifest, read_action

__all__ = ["check_action", "parse_manifest", "read_action"]
