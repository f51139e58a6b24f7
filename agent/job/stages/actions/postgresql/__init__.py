"""Changes of a PostgreSQL database, as they are committed: logical replication by pgoutput (docs of PostgreSQL, chapter 55)."""

from agent.job.stages.actions.postgresql.trigger import make

__all__ = ["make"]
