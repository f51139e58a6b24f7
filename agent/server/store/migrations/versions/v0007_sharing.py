"""Levels of secrets and variables; caches, tags, datasets, retention."""

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Nothing yet."""
