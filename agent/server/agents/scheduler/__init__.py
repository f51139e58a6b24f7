"""The scheduler: a pure choice of who gets which job, and for each job that nobody gets the reason in words. docs/scheduling.md.

order.py      which job is next: overlooked projects, projects' priority, share by usage over weight, then age
machines.py   what an agent has left, and when it will have more
interrupting.py  which running jobs make place for one that comes before them
choice.py     one round: place, or reserve for the first who can't be placed, and fill up behind it
reasons.py    why a job waits
lending.py    the command that lends an agent the label of GitHub's machines
usage.py      what projects have used lately
"""

from agent.server.agents.scheduler.choice import choose
from agent.server.agents.scheduler.model import (
    Choice,
    Holding,
    Interruption,
    Pick,
    Project,
    ReadyAgent,
    Seat,
    Stake,
    WaitingJob,
)
from agent.server.agents.scheduler.usage import Usage

__all__ = [
    "Choice",
    "Holding",
    "Interruption",
    "Pick",
    "Project",
    "ReadyAgent",
    "Seat",
    "Stake",
    "Usage",
    "WaitingJob",
    "choose",
]
