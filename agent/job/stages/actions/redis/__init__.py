"""Entries of a Redis (or Valkey) stream, by a consumer group that the copies of a flow share."""

from agent.job.stages.actions.redis.trigger import make

__all__ = ["make"]
