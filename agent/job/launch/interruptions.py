"""Interruptions of a job by Slurm: which signal says what, and what slurmstepd writes into the script's output. Pure."""

import signal
from typing import Final

from agent.spec.outcome import FailureKind

OUTPUT: Final = "slurm.out"  # of the batch script, in the job folder: what Slurm says, and what goes wrong before we are there
TIME_IS_NEAR: Final = signal.SIGUSR1  # what `sbatch --signal` sends before the time limit

# slurmstepd (22.05, req.c) writes one of these before it signals; `squeue` says COMPLETING by then, whatever the cause.
_CAUSES: Final = (
    ("DUE TO TIME LIMIT", FailureKind.TIMEOUT, "Slurm's time limit of the job is over"),
    ("DUE TO PREEMPTION", FailureKind.LOST, "Slurm has preempted the job"),
    ("DUE TO NODE FAILURE", FailureKind.LOST, "a node of the job has failed, says Slurm"),
    ("CANCELLED AT", FailureKind.CANCELLED, "the job was cancelled in Slurm (scancel)"),
)


def explain_signal(number: int, output: str) -> tuple[FailureKind, str]:
    """Why this signal came, as far as the script's `output` tells: the kind of the job's end, and a sentence."""
    for mark, kind, sentence in _CAUSES:
        if mark in output:
            return kind, sentence
    if number == TIME_IS_NEAR:
        return FailureKind.TIMEOUT, "Slurm's time limit of the job is almost over"
    return FailureKind.CANCELLED, f"the job was told to end in Slurm ({signal.Signals(number).name})"
