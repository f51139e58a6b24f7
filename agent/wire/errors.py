"""The two ways in which a conversation goes wrong: the other side broke the rules, or we would have."""

from agent.errors import AgentError


class WireError(AgentError):
    """The other side broke the protocol. `code` is one of `agent.wire.messages.Rejected`'s; the connection ends."""

    def __init__(self, code: str, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.code = code


class IllegalVerbError(RuntimeError):
    """Our own side asked its protocol for something that the conversation does not allow now: a bug of ours."""
