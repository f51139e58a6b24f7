"""States of a job in Slurm's words, and what they are in ours. Pure.

Source: squeue(1), JOB STATE CODES, as `%T` prints them.
"""

import signal
from typing import Final

from agent.daemon.job import Fate
from agent.spec.outcome import FailureKind

PENDING: Final = frozenset(
    {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
)
# Still its own, or on its way to an end that will have a word of its own.
ALIVE: Final = frozenset(
    {"RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT"}
)
FORGOTTEN: Final = ""  # the controller does not know the job any more, or never did

_ENDS: Final = {
    "CANCELLED": (FailureKind.CANCELLED, "it was cancelled in Slurm (scancel)"),
    "TIMEOUT": (FailureKind.TIMEOUT, "Slurm's time limit of the job was over"),
    "DEADLINE": (FailureKind.TIMEOUT, "the job's deadline in Slurm was over"),
    "NODE_FAIL": (FailureKind.LOST, "a node of the job failed, says Slurm"),
    "BOOT_FAIL": (FailureKind.LOST, "the job's node did not come up, says Slurm"),
    "PREEMPTED": (FailureKind.LOST, "Slurm preempted the job"),
    "REVOKED": (FailureKind.LOST, "another cluster of the federation took the job"),
    "OUT_OF_MEMORY": (
        FailureKind.OOM,
        "the job was out of the memory that it has in Slurm (`resources.memory`)",
    ),
}


def explain_end(state: str, said: str = "", node: str = "", *, signal_number: int = 0) -> Fate:
    """How a job ended that left no last word, by its last `state` in Slurm.

    `said` is the last line of the script's output, `node` what it was given and never began on, `signal_number` what its supervisor
    was ended by, where the allocation has said so.
    """
    if state in PENDING:
        return Fate(
            FailureKind.LOST, "Slurm put the job back into its queue while it ran; no attempt runs twice"
        )
    if (
        state == "CANCELLED" and node
    ):  # a restarted controller does that with a number that it has given away twice
        return Fate(FailureKind.LOST, f"Slurm cancelled the job on {node} before it began")
    kind, sentence = _ENDS.get(state, (FailureKind.LOST, ""))
    if sentence:
        return Fate(kind, sentence)
    if signal_number:
        name = (
            signal.Signals(signal_number).name if signal_number in signal.valid_signals() else signal_number
        )
        return Fate(FailureKind.LOST, f"the job's supervisor was killed in its allocation ({name})")
    words = f": {said}" if said else ""
    if state == FORGOTTEN:
        return Fate(
            FailureKind.LOST, f"Slurm does not know the job any more, and it left no last word{words}"
        )
    return Fate(
        FailureKind.INFRASTRUCTURE,
        f"the job's supervisor ended in Slurm ({state}) without a last word{words}",
    )
