"""Deadlines: how slow and how large what a client sends may be, before its connection is ended (`agent.server.http.transports`)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadlines:
    """What a client has to keep to. A body must bring `body_bytes` in each `body_seconds`."""

    head_seconds: float = 10.0
    head_bytes: int = 64 << 10
    body_seconds: float = 60.0
    body_bytes: int = 1024
    linger_seconds: float = 10.0  # for the rest of a body whose answer is out
    unread_seconds: float = 120.0
    message_bytes_before_proof: int = 64 << 10
