"""The owner's own scripts around each job: `ACTIONS_RUNNER_HOOK_JOB_STARTED` and `ACTIONS_RUNNER_HOOK_JOB_COMPLETED`.

Each is a step like any other: its output is in the log, what it writes for later steps holds for the job, and when it fails
the job has failed. Who sets them is the machine's owner; no flow can.

Source: actions/runner `JobHookProvider.cs`, `JobExtension.cs`; names of the steps are GitHub's.
"""

from pathlib import Path

from agent.errors import AgentError
from agent.job.folder.settings import JobSettings
from agent.spec.job import SpecStepKind, StepSpec

_SHELLS = {".sh": "bash", ".ps1": "pwsh"}


def started_hook(settings: JobSettings) -> tuple[StepSpec, ...]:
    """The step before the first of the job's, where the owner wants one. Raises AgentError."""
    return _make_step(settings.hook_job_started, "__hook_started", "Set up runner")


def completed_hook(settings: JobSettings) -> tuple[StepSpec, ...]:
    """The step after the last of the job's, where the owner wants one. Raises AgentError."""
    return _make_step(settings.hook_job_completed, "__hook_completed", "Complete runner")


def _make_step(script: str, step: str, name: str) -> tuple[StepSpec, ...]:
    if not script:
        return ()
    path = Path(script)
    shell = _SHELLS.get(path.suffix)
    if shell is None or not path.is_absolute() or not path.is_file():
        raise AgentError(
            f"the job hook '{script}' is no script that can be run",
            where=name,
            hint="name a file that is there, by its whole path, ending in .sh or .ps1",
        )
    # What looks like a template in a path is none.
    text = f"${{{{ '{_quote(script, shell).replace(chr(39), chr(39) * 2)}' }}}}"
    return (StepSpec(SpecStepKind.RUN, step, name=name, condition="always()", run=text, shell=shell),)


def _quote(script: str, shell: str) -> str:
    """The line that runs `script` in a process of its own."""
    if shell == "pwsh":
        return "& '{}'".format(script.replace("'", "''"))
    import shlex  # most machines have no hooks

    return f"bash --noprofile --norc -e -o pipefail {shlex.quote(script)}"
