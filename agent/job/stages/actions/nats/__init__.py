"""Records of a NATS JetStream stream, by a durable pull consumer that the copies of a flow share."""

from agent.job.stages.actions.nats.trigger import make

__all__ = ["make"]
