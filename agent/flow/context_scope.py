"""Contexts and functions that an expression may use at one place of a flow."""

from typing import Final, NamedTuple

from agent.flow.expressions import FunctionInfo


class ContextScope(NamedTuple):
    """The contexts, and the functions beyond the common ones, of one place."""

    contexts: tuple[str, ...] = ()
    functions: tuple[FunctionInfo, ...] = ()

    def joined(self, other: "ContextScope") -> "ContextScope":
        """This place's and the other's together; a place inherits what surrounds it."""
        return ContextScope(
            tuple(dict.fromkeys(self.contexts + other.contexts)),
            tuple({info.name: info for info in self.functions + other.functions}.values()),
        )


NOWHERE: Final = ContextScope()
