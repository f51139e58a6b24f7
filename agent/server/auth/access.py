"""The scopes of the HTTP API. Every route names the one that it asks for; a test walks the table."""

from dataclasses import dataclass
from enum import StrEnum

from agent.server.auth.runtime import JobIdentity


class Access(StrEnum):
    """What a route asks of its caller."""

    PUBLIC = "public"  # nothing: health, the installer
    ADMIN = "admin"  # an API token
    JOB = "job"  # the runtime token of a job that is running
    ADMIN_OR_JOB = "admin-or-job"
    REGISTRATION = "registration"  # a registration token in the body, spent by the handler
    SIGNED = "signed"  # a signed URL
    AGENT = "agent"  # the handshake of the websocket


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the holder of an API token (`token` is its id), or a job."""

    token: str = ""
    job: JobIdentity | None = None
