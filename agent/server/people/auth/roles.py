"""Roles of a person in a project. Each may do all that the ones before it may.

viewer       look: runs, logs, artifacts, variables
runner       start, cancel and re-run; mark and upload what runs share
maintainer   secrets, variables, triggers, environments, approvals
admin        the project itself: members, settings, archive
"""

from enum import IntEnum

from agent.errors import UsageError


class Role(IntEnum):
    """A role; more is more."""

    VIEWER = 1
    RUNNER = 2
    MAINTAINER = 3
    ADMIN = 4

    @property
    def label(self) -> str:
        """As people write it."""
        return self.name.lower()


def read_role(text: str) -> Role:
    """The role called `text`. Raises UsageError."""
    for role in Role:
        if role.label == text:
            return role
    known = ", ".join(role.label for role in Role)
    raise UsageError(f"'{text[:40]}' is no role", where="role", hint=f"roles are {known}")
