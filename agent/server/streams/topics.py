"""Topics of this room: what listeners are woken by (`agent.server.events.live`)."""


def queue_topic(queue: int) -> str:
    """What a job listens on that waits for records of a queue."""
    return f"queue:{queue}"


def stages_topic(run: int) -> str:
    """What a viewer listens on who looks at the figures of a run's stages."""
    return f"stages:{run}"
