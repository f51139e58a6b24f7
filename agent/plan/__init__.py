"""A run as a pure state machine: events in, decisions out. Server and laptop drive the same one.

    begin(flow, request)            -> state, decisions
    advance(flow, state, event)     -> state, decisions

The driver stores the state, then carries out the decisions. Both functions are pure, so a driver that crashes between
the two repeats the call and gets the same decisions again.
"""

from agent.plan.decisions import CancelJob, Decision, EndJob, EndRun, QueueJob
from agent.plan.events import Event, JobFinished, JobStarted, RunCancelled
from agent.plan.planner import advance, begin
from agent.plan.state import JobPhase, JobState, NodeState, RunRequest, RunState

__all__ = [
    "CancelJob",
    "Decision",
    "EndJob",
    "EndRun",
    "Event",
    "JobFinished",
    "JobPhase",
    "JobStarted",
    "JobState",
    "NodeState",
    "QueueJob",
    "RunCancelled",
    "RunRequest",
    "RunState",
    "advance",
    "begin",
]
