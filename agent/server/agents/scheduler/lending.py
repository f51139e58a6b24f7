"""The command that lends an agent a label of GitHub's Linux machines, for a job that waits for nothing else.

No machine is `ubuntu-latest` by nature: whether jobs that were written for GitHub's may run on it is its owner's word.
"""

import shlex
from collections.abc import Sequence

from agent.server.agents.scheduler.model import ReadyAgent, WaitingJob
from agent.spec.labels import read_label
from agent.spec.resources import gpu_labels


def explain_lending(job: WaitingJob, agents: Sequence[ReadyAgent]) -> str:
    """The end of the sentence that says why `job` waits; empty when no label that can be lent would help."""
    claims = {label: read_label(label) for label in job.shown_labels}
    hosted = [label for label, claim in claims.items() if claim.ubuntu]
    rest = job.shape.labels - {label.lower() for label in hosted}
    needed = {claims[label].arch.lower() for label in hosted if claims[label].arch} | {"linux"}
    able = [
        agent
        for agent in agents
        if rest | needed <= agent.labels and (agent.projects is None or job.shape.project in agent.projects)
    ]
    if not hosted or not able:
        return ""
    chosen = min(able, key=lambda agent: agent.name)
    lent = [label for label in hosted if label.lower() not in chosen.labels]
    labels = shlex.quote(",".join([*_own_labels(chosen), *lent]))
    command = f"agent server agent set {shlex.quote(chosen.name)} labels={labels}"
    return f"; `{command}` lends {chosen.name} the label{'' if len(lent) == 1 else 's'}"


def _own_labels(agent: ReadyAgent) -> list[str]:
    """The labels that its owner gave it: `labels=` takes the place of these, and of no others."""
    natural = {label for gpu in agent.gpus for label in gpu_labels(gpu)} | {"self-hosted"}
    return [label for label in agent.shown_labels if label.lower() not in natural and not _is_natural(label)]


def _is_natural(label: str) -> bool:
    claim = read_label(label)
    return bool(claim.os or claim.arch) and not claim.ubuntu
