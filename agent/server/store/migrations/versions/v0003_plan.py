"""Re-runs, timers, approvals and concurrency groups of runs."""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Nothing yet."""
