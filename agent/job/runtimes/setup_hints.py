"""A word about actions that set up tools and failed: they ask the internet for what the machine's tool cache lacks, and for some words always.

Source: `useCpythonVersion` of actions/setup-python v7, `setupNodeJs` of actions/setup-node v6, `resolveVersion` of astral-sh/setup-uv v6 to v9.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from agent.job.steps.steprun import StepRun, StepStage
from agent.machine.tool_cache import FOLDERS, list_cached, matches, sort_key

# Who sets it up: our name of the tool, and the action's input that says which version.
_SETUPS: Final = {
    "actions/setup-python": ("python", "python-version"),
    "actions/setup-node": ("node", "node-version"),
    "astral-sh/setup-uv": ("uv", "version"),
}
_USES: Final = re.compile(r"(?:^|/)((?:actions|astral-sh)/setup-\w+)(?:\.git)?@")
_NUMBER: Final = re.compile(r"v?\d+(?:\.(?:\d+|[xX*]))*")  # what `agent tool add` takes
_WHOLE: Final = re.compile(r"(?:==)?\d+\.\d+\.\d+")
_OTHER_PYTHON: Final = re.compile(r"(?:pypy|graalpy).*|.*\dt")  # not CPython's usual build


def explain_failed_setup(step: StepRun) -> str:
    """What could be done about a setup action's failure; "" where nothing is known of it."""
    found = _USES.search(step.spec.uses or "")
    if found is None or found[1] not in _SETUPS or step.stage is not StepStage.MAIN:
        return ""
    name = FOLDERS[_SETUPS[found[1]][0]]
    cached = [each.version for each in list_cached(step.job.places.tools) if each.name == name]
    return explain_setup(
        found[1], {key.lower(): value for key, value in step.inputs.items()}, sorted(cached, key=sort_key)
    )


def explain_setup(action: str, inputs: Mapping[str, str], cached: Sequence[str]) -> str:
    """The same, of `action` as `actions/setup-python`, its inputs by lower-case name, and the tool's cached versions in their order."""
    tool, name = _SETUPS[action]
    here, has = "the tool cache of this machine", f"it has {', '.join(cached)}"
    missing = _find_missing(tool, inputs.get(name, ""), cached)
    if not cached:
        what = f"{FOLDERS[tool]} {missing or ''}".rstrip()
        return f"{here} has no {what}, so '{action}' asked the internet; {_offer(tool, missing or '')}"
    if word := _find_word(tool, name, inputs):
        takes = f"it takes what is there where `{name}` is a number: `{name}: {cached[-1]}`"
        return f"'{action}' asks the internet for {word}, whatever {here} has ({has}); {takes}"
    if missing and _NUMBER.fullmatch(missing):
        return f"{here} has no {FOLDERS[tool]} {missing}, so '{action}' asked the internet; {_offer(tool, missing)}"
    file = inputs.get(f"{name}-file", "")
    if missing or (file and not inputs.get(name)):
        what = f"'{missing}'" if missing else f"what `{name}-file: {file}` names"
        return f"'{action}' asks the internet where {here} has nothing for {what} ({has}); {_offer(tool, missing or '')}"
    return ""


def _find_missing(tool: str, given: str, cached: Sequence[str]) -> str | None:
    """The first of what is asked for that is not cached, as far as its numbers say; None where all is there."""
    # setup-python takes several, a line each; a range of the others may have blanks.
    wanted = [each.strip() for each in (given.strip().split("\n") if tool == "python" else [given])]
    return next((each for each in wanted if not any(matches(version, each) for version in cached)), None)


def _find_word(tool: str, name: str, inputs: Mapping[str, str]) -> str:
    """For what the internet is asked in any case, in the words of the action's inputs; "" for nothing."""
    given = inputs.get(name, "").strip()
    shown = f"`{name}: {given}`"
    if tool == "uv":  # also a range, and what it is by default
        file = inputs.get("version-file", "").strip()
        by_default = (
            f"what `version-file: {file}` names, unless that is a whole version" if file else "the newest"
        )
        return "" if _WHOLE.fullmatch(given) else shown if given else by_default
    if inputs.get("check-latest", "").strip().lower() == "true":
        return "`check-latest: true`"
    is_word = tool == "node" and given[:1].isalpha() and not _NUMBER.fullmatch(given)  # lts/*, latest, node
    return shown if is_word else ""


def _offer(tool: str, wanted: str) -> str:
    if tool == "python" and _OTHER_PYTHON.fullmatch(wanted):
        return f"`agent tool add {tool}` offers CPython in its usual build only"
    version = wanted if _NUMBER.fullmatch(wanted) else "VERSION" if wanted else ""
    return f"`{f'agent tool add {tool} {version}'.rstrip()}` there offers the machine's own, if it has one"
