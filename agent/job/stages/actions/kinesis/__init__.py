"""Kinesis: its API, its shards and who reads which, its two triggers, and the stage that puts records."""

from agent.job.stages.actions.kinesis.trigger import make

__all__ = ["make"]
