"""Values so far, all of them as JSON, for the last argument of a program.

Whoever may list this machine's processes can read an argument: a value that holds a secret is left out of it. The program
has its own inputs in its environment as well, those too.
"""

import json
from collections.abc import Mapping
from typing import Final

from agent.errors import AgentError
from agent.job.steps.steprun import StepRun

_MOST_BYTES: Final = 128 * 1024 - 1  # of one argument: Linux' MAX_ARG_STRLEN, with the NUL at its end


def write_argument(step: StepRun) -> str:
    """The step's inputs and what the steps before it were given and gave; its inputs alone where all is too long.

    Raises AgentError when they are too long as well.
    """
    own = _without_secrets(step, step.values)
    before = _without_secrets(step, step.scope.values) if step.words.accumulated else {}
    given = {name: value for name, value in own.items() if value is not None or name not in before}
    for values in ({**before, **given}, own):
        text = json.dumps(values)
        if len(text) <= _MOST_BYTES:
            return text
    raise AgentError(
        f"the inputs are longer together than a program's argument may be: {_MOST_BYTES} bytes",
        where=step.place,
        hint="hand over a file's path instead of what is in it",
    )


def _without_secrets(step: StepRun, values: Mapping[str, object]) -> dict[str, object]:
    masker = step.job.masker
    return {
        name: value
        for name, value in values.items()
        if not masker.holds_secret(json.dumps(value, ensure_ascii=False))
    }
