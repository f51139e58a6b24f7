"""A word about actions that set up tools and failed: they ask the internet only for what the machine's tool cache lacks."""

import re
from typing import Final

from agent.job.steps.steprun import StepRun, StepStage
from agent.machine.tool_cache import FOLDERS, list_cached, matches

# Who sets it up: our name of the tool, and the action's input that says which version.
_SETUPS: Final = {
    "actions/setup-python": ("python", "python-version"),
    "actions/setup-node": ("node", "node-version"),
    "astral-sh/setup-uv": ("uv", "version"),
}
_USES: Final = re.compile(r"(?:^|/)((?:actions|astral-sh)/setup-\w+)(?:\.git)?@")


def explain_failed_setup(step: StepRun) -> str:
    """What could be done about a setup action's failure; "" where the cache has what it wanted, or nothing is known of it."""
    found = _USES.search(step.spec.uses or "")
    if found is None or found[1] not in _SETUPS or step.stage is not StepStage.MAIN:
        return ""
    tool, name = _SETUPS[found[1]]
    given = {key.lower(): value for key, value in step.inputs.items()}.get(name, "").split()
    wanted = given[0] if given else ""
    cached = [each.version for each in list_cached(step.job.places.tools) if each.name == FOLDERS[tool]]
    if any(matches(version, wanted) for version in cached):
        return ""
    what = f"{FOLDERS[tool]} {wanted}".rstrip()
    return (
        f"the tool cache of this machine has no {what}, so '{found[1]}' asked the internet; "
        f"`{f'agent tool add {tool} {wanted}'.rstrip()}` there offers the machine's own, if it has one"
    )
