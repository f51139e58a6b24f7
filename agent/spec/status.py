"""The states of runs and jobs, as the server stores them and its API shows them.

A run:

    queued --its first job begins--> running --all jobs have ended--> completed
    queued --all jobs have ended--> completed
    completed --a re-run--> queued

A job (one attempt at it; the row of a job that is tried again is another one):

    pending --the planner lets it go--> queued --given to an agent--> assigned --the agent begins--> running
    assigned --the agent never began--> queued
    running --its last word--> completed
    pending, queued, assigned --ended without running--> completed

The room of a running job on its agent (slot, cores, memory, GPUs):

    held --a step waits for a person, and nothing else of the job runs--> given_back
    given_back --somebody answers--> wanted
    wanted --the scheduler has room--> held
"""

from enum import StrEnum
from typing import Final

from agent.states import Transitions


class RunStatus(StrEnum):
    """How a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"


class JobStatus(StrEnum):
    """How a job stands."""

    PENDING = "pending"  # the planner holds it back: there is no row of it
    QUEUED = "queued"
    ASSIGNED = "assigned"  # an agent has been offered it, or has it and waits for the others of its gang
    RUNNING = "running"
    COMPLETED = "completed"


class RoomStatus(StrEnum):
    """Where a running job's room is."""

    HELD = "held"  # it is the job's own
    GIVEN_BACK = "given_back"  # it is whoever's, while a step waits for a person
    WANTED = "wanted"  # the job goes on as soon as it has room once more


RUNS: Final = Transitions(
    "run",
    frozenset({RunStatus.QUEUED}),
    {
        RunStatus.QUEUED: frozenset({RunStatus.RUNNING, RunStatus.COMPLETED}),
        RunStatus.RUNNING: frozenset({RunStatus.COMPLETED}),
        RunStatus.COMPLETED: frozenset({RunStatus.QUEUED}),
    },
)
JOBS: Final = Transitions(
    "job",
    frozenset({JobStatus.PENDING}),
    {
        JobStatus.PENDING: frozenset({JobStatus.QUEUED, JobStatus.COMPLETED}),
        JobStatus.QUEUED: frozenset({JobStatus.ASSIGNED, JobStatus.COMPLETED}),
        JobStatus.ASSIGNED: frozenset({JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.COMPLETED}),
        JobStatus.RUNNING: frozenset({JobStatus.COMPLETED}),
        JobStatus.COMPLETED: frozenset(),
    },
)
ROOMS: Final = Transitions(
    "room of a job",
    frozenset({RoomStatus.HELD}),
    {
        RoomStatus.HELD: frozenset({RoomStatus.GIVEN_BACK}),
        RoomStatus.GIVEN_BACK: frozenset({RoomStatus.WANTED}),
        RoomStatus.WANTED: frozenset({RoomStatus.HELD}),
    },
)
ACTIVE: Final = (JobStatus.ASSIGNED, JobStatus.RUNNING)  # an agent holds the job
