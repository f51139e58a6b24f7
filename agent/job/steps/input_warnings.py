"""Warnings of what is odd in what an action is given: said in its step's log, and no more.

Source: actions/runner `ActionRunner.cs`.
"""

import re
from collections.abc import Mapping

from agent.job.steps.parts import StepAction
from agent.job.steps.steprun import StepRun

_TOLD = "no token"


def warn_of_inputs(step: StepRun, action: StepAction, given: list[str], names: dict[str, str]) -> None:
    """Tell of inputs that the action doesn't know, and of those that it would rather not have."""
    unknown = [
        name for name in given if name.lower() not in names and name.lower() not in ("entrypoint", "args")
    ]
    if unknown and not (step.spec.uses or "").startswith("docker://"):
        quoted = ", ".join(f"'{name}'" for name in unknown)
        valid = ", ".join(f"'{name}'" for name in names.values())
        step.log.say(f"##[warning]Unexpected input(s) {quoted}, valid inputs are [{valid}]")
    has_pre: object = getattr(action.manifest.runs, "pre", None)
    if has_pre and (step.spec.uses or "").startswith("./"):
        step.log.say(f"##[warning]`pre` execution is not supported for local action from '{step.spec.uses}'")
    here = {**step.job.environment.granted, **step.env, **step.job.secrets}
    for name in action.manifest.env:
        if name not in here:
            step.log.say(f"##[warning]The action needs '{name}', and there is no secret of this name")
    _tell_of_token(step, action)
    for name in step.spec.with_:
        item = action.manifest.inputs.get(names.get(name.lower(), ""))
        if item is not None and item.deprecation_message:
            step.log.say(
                f"##[warning]Input '{name}' has been deprecated with message: {item.deprecation_message}"
            )


def _tell_of_token(step: StepRun, action: StepAction) -> None:
    """Say, once a job, that the token which an action asks for is empty: a local run has none by itself."""
    words = step.job.conventions
    secret, context = words.own_token, words.context_prefix.rstrip("_").lower()
    if not secret or step.job.secrets.get(secret) or _TOLD in step.job.told:
        return
    given = {key.lower() for key in step.spec.with_}
    defaults = [item.default for key, item in action.manifest.inputs.items() if key.lower() not in given]
    env = step.spec.env.values() if isinstance(step.spec.env, Mapping) else ()
    asks = re.compile(
        rf"\$\{{\{{.*\b(?:{context}\s*(?:\.\s*token\b|\[\s*'token')|secrets\s*\.\s*{secret}\b)",
        re.IGNORECASE | re.DOTALL,
    )
    texts = (*defaults, *step.spec.with_.values(), *env)
    if any(isinstance(text, str) and asks.search(text) for text in texts):
        step.job.told.add(_TOLD)
        step.log.say(
            f"##[warning]'{step.spec.uses}' asks for a token, and this run has none: `{context}.token` is empty; "
            f"`--secret {secret}` hands on the one in your environment"
        )
