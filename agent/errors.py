"""Our exceptions: one tree, written for the person who reads them at 3 a.m.

An `AgentError` is a *value for a user*: what is wrong, where, and what to do. The command line prints it as
`agent: WHAT (WHERE); HINT` and exits with its `exit_code` (see docs/cli.md); nothing else of it is shown.
Anything that is not an `AgentError` is a bug of ours.
"""

from typing import ClassVar

from agent.redaction import redact


class AgentError(Exception):
    """Something a user can understand and act upon.

    `what` is a clause without a full stop; `where` names the file, URL, job or key; `hint` says what to do next. Credentials
    of a URL in them are redacted.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(redact(what))
        self.what = redact(what)
        self.where = redact(where)
        self.hint = redact(hint)

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        advice = f"; {self.hint}" if self.hint else ""
        return f"{self.what}{place}{advice}"


class UsageError(AgentError):
    """The command was used wrongly, or a file that it was given is not valid: exit 2."""

    exit_code = 2


class InterruptedByUserError(AgentError):
    """The user pressed ctrl-C or the process was told to end: exit 130."""

    exit_code = 130


class NotFoundError(AgentError):
    """A thing that was named does not exist: a file, a ref, a run, a secret, an artifact."""


class RefusedError(AgentError):
    """The other side understood and said no: a token, a signature, a policy, a right that is missing."""


class UnreachableError(AgentError):
    """Nobody answered: a server, a git host, a registry. Trying again later may work."""


class DamagedError(AgentError):
    """Stored data is not what was written: a bad checksum, a torn file, an unknown version."""


class SpoiledError(DamagedError):
    """Something else lies where a file of ours should be: a FIFO, a link, a folder, a file without rights, another file."""


class StaleLeaseError(RefusedError):
    """A message carried a lease number that is no longer the current one (design: fencing)."""
