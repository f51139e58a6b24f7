"""Checkpoints of a job: what is kept of it while it works, and how its next try goes on from there. Pure.

A try of a job may end without having done its work: interrupted for a job that comes before it, or lost with its
machine. Its next try finds the newest checkpoint at the same paths, before its first step.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PROTOCOL: Final = 6  # the first version (docs/protocol.md) whose agents keep checkpoints, and are interrupted
RESUME: Final = "resume"  # the context: attempt, path, reason

# The steps that the planner puts around the job's own, and what does their work.
RESTORE_STEP: Final = "__restore"
CHECKPOINT_STEP: Final = "__checkpoint"
LAST_CHECKPOINT_STEP: Final = "__last_checkpoint"
CHECKPOINT_STEPS: Final = (RESTORE_STEP, CHECKPOINT_STEP, LAST_CHECKPOINT_STEP)
ACTION: Final = "flow-agent/checkpoint@v1"

GRACE_SECONDS: Final = 30.0  # after SIGTERM, of an interruptible job without checkpoints


class ResumeReason(StrEnum):
    """Why the try before this one did not do its work."""

    NONE = ""  # there was none
    INTERRUPTED = "interrupted"  # a job that comes before it took its place
    LOST = "lost"  # its machine, its agent or its supervisor is gone
    FAILED = "failed"  # and `retry` has it tried again


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Where a job's checkpoints lie (a path is relative to its workspace, or absolute), and what is done with them."""

    paths: tuple[str, ...]
    every_seconds: float = 60.0  # from one look to the next
    grace_seconds: float = 60.0  # after SIGTERM, when the job is interrupted
    most_kept: int = 2  # the newest
    found: str = ""  # by whom it is handed out: the newest one, as JSON; empty: nobody has looked yet


def describe_lost(seconds: float, written_at: str, *, is_known: bool) -> str:
    """What a try has lost, in words; `written_at` is when its last checkpoint was, empty for none.

    `is_known`: it is known to the second when the try stopped working; else that is when it was given up.
    """
    since = f"the last checkpoint was written at {written_at}" if written_at else "no checkpoint was kept"
    return f"lost {'' if is_known else 'up to '}{max(0, round(seconds))} s of work: {since}"
