"""Settings of the triggers of a server."""

from dataclasses import dataclass

from agent.resolve.sources.git import DEFAULT_LIMIT_BYTES


@dataclass(frozen=True, slots=True)
class TriggerSettings:
    """`outside_hosts`: what is not public and may be spoken to all the same (`agent.server.triggers.outside`).

    `public_code`: the hosts whose public repositories are handed on to jobs, `*` for any (`agent.server.triggers.public_code`).
    """

    outside_hosts: tuple[str, ...] = ()
    public_code: tuple[str, ...] = ("*",)
    repository_bytes: int = DEFAULT_LIMIT_BYTES
    late_seconds: float = 3600.0  # how late a start that was missed is still made up for
