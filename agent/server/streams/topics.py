"""What listeners of this room are woken by (`agent.server.events.live`)."""

DEPLOYMENTS = "deployments"  # one has changed, or a run of one has ended


def queue_topic(queue: int) -> str:
    """What a job listens on that waits for records of a queue."""
    return f"queue:{queue}"


def stages_topic(run: int) -> str:
    """What a viewer listens on who looks at the figures of a run's stages."""
    return f"stages:{run}"
