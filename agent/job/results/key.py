"""Keys of results: what a cached action's outputs hang on, and why a step has none."""

import hashlib

from agent import codec
from agent.job.steps.parts import StepAction
from agent.job.steps.steprun import StepRun

_FORM = 1  # of what is hashed


def find_obstacle(step: StepRun, action: StepAction) -> str:
    """Why the outputs of this step are not taken from an equal run, nor kept for one; empty where they may be."""
    if not action.commit:
        return "only an action of a commit is the same the next time"
    if any(value and step.job.masker.holds_secret(value) for value in step.inputs.values()):
        return "a secret is among its inputs"
    return ""


def make_key(step: StepRun, action: StepAction) -> str:
    """SHA-256 in hex of the action, by its commit and manifest, and of the step's inputs."""
    inputs = codec.dump({name: step.values[name] for name in sorted(step.values)})
    path = action.folder.relative_to(action.root).as_posix() if action.folder != action.root else ""
    manifest = hashlib.sha256(repr(action.manifest).encode()).hexdigest()
    parts = (str(_FORM), action.origin, action.commit, path, manifest, inputs)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
