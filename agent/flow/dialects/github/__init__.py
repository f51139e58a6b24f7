"""GitHub Actions' language, the one that this product speaks by itself: nodes in, a `Flow` and problems out."""

from agent.flow.dialects.github.front import read_flow

__all__ = ["read_flow"]
