"""The job room takes its words from the conventions of the job: no variable or folder of one language is spelt in it."""

import re
from pathlib import Path

import agent

_ROOM = Path(agent.__file__).parent / "job"
# Variables of the context, of the machine, of inputs and state; folders of containers.
_WORD = re.compile(r"(?<![A-Z_])(?:GITHUB|RUNNER)_[A-Z_]*|[\"']/(?:github/|__)[a-z_]*|[\"'](?:INPUT|STATE)_")

# Words of GitHub's own actions and of its toolkit that the room still says; the list may only shrink.
_TOOLKIT = re.compile(r"(?<![A-Z_])(?:ACTIONS|FORCE_JAVASCRIPT)_[A-Z0-9_]+")
_STILL = {
    "commands/meaning.py": {"ACTIONS_ALLOW_UNSECURE_COMMANDS", "ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS"},
    "containers/action_containers.py": {"ACTIONS_CACHE_SERVICE_V2"},
    "runtimes/interpreters.py": {"FORCE_JAVASCRIPT_ACTIONS_TO_NODE24"},
    "steps/state.py": {"ACTIONS_STEP_DEBUG"},
    "supervisor/hooks.py": {"ACTIONS_RUNNER_HOOK_JOB_COMPLETED", "ACTIONS_RUNNER_HOOK_JOB_STARTED"},
}


def _find(pattern: re.Pattern[str]) -> dict[str, set[str]]:
    files = {file.relative_to(_ROOM).as_posix(): file.read_text() for file in _ROOM.rglob("*.py")}
    return {name: found for name, text in files.items() if (found := set(pattern.findall(text)))}


def test_the_job_room_spells_no_variable_and_no_folder_of_a_language() -> None:
    assert _find(_WORD) == {}


def test_words_of_githubs_toolkit_in_the_job_room_only_become_fewer() -> None:
    assert _find(_TOOLKIT) == _STILL
