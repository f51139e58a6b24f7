"""A run as a pure state machine: events in, decisions out. Server and laptop drive the same one.

    begin(flow, request, now=)            -> state, decisions
    advance(flow, state, event, now=)     -> state, decisions
    agent.plan.rerun.rerun(flow, state, again, now=)   -> state, decisions   the next attempt of a run that has ended

The driver stores the state, then carries out the decisions. All are pure, so a driver that crashes between the two
repeats the call and gets the same decisions again. `state.due_at` is when to send `TimePassed`, if nothing else comes.
`agent.plan.concurrency` holds the rule of the groups that runs and jobs join.
"""

from agent.plan.decisions import (
    AskGate,
    CancelJob,
    Decision,
    EndJob,
    EndRun,
    ExplainEnd,
    JoinGroup,
    LeaveGroup,
    QueueJob,
)
from agent.plan.events import (
    Event,
    GateSet,
    GroupEntered,
    GroupLost,
    JobApproved,
    JobFinished,
    JobRejected,
    JobStarted,
    RunCancelled,
    TimePassed,
)
from agent.plan.planner import advance, begin
from agent.plan.results import cancelled, failed, refused
from agent.plan.run_name import name_run
from agent.plan.state import GroupPlace, JobPhase, JobState, NodeState, RunStart, RunState
from agent.plan.waiting import explain_waiting

__all__ = [
    "AskGate",
    "CancelJob",
    "Decision",
    "EndJob",
    "EndRun",
    "Event",
    "ExplainEnd",
    "GateSet",
    "GroupEntered",
    "GroupLost",
    "JobApproved",
    "JobFinished",
    "JobPhase",
    "JobRejected",
    "JobStarted",
    "JobState",
    "JoinGroup",
    "LeaveGroup",
    "NodeState",
    "GroupPlace",
    "QueueJob",
    "RunCancelled",
    "RunStart",
    "RunState",
    "TimePassed",
    "advance",
    "begin",
    "cancelled",
    "explain_waiting",
    "failed",
    "name_run",
    "refused",
]
