"""The trigger `kinesis_consumer`: as `kinesis`, by enhanced fan-out under a consumer's name."""

from agent.job.stages.actions.kinesis.trigger import make_consumer as make

__all__ = ["make"]
