"""The code of a run as a commit of a git repository, for jobs that read it with git: `actions/checkout` and its kind."""

from collections.abc import Iterator

from agent.flow.model import Flow, Job, Step

_OWN = "flow-agent/"
_WORDS = ("server_url", "api_url")


def reads_repository(flow: Flow) -> bool:
    """Whether a job of the flow may ask for the run's code by git: it uses an action that is none of ours, or names the server.

    For all others nothing is made, sent or served.
    """
    return any(_may_read(job) for each in _walk(flow) for job in each.jobs.values())


def is_own(uses: str) -> bool:
    """Whether the action is one of ours: it finds the code without git, and needs none of GitHub's services."""
    return uses.lower().startswith(_OWN)


def _may_read(job: Job) -> bool:
    if any(not is_own(uses) and not uses.lower().startswith("docker://") for uses, _ in job.list_uses()):
        return True
    return any(word in script.lower() for script in _scripts(job) for word in _WORDS)


def _scripts(job: Job) -> Iterator[str]:
    """What the job's steps, and its stages, hand to a shell."""
    for step in _steps(job.steps):
        scripts = step.run if isinstance(step.run, (list, tuple)) else (step.run,)
        yield from (script for script in scripts if isinstance(script, str))
    yield from (str(stage.config["run"]) for stage in job.stages if "run" in stage.config)


def _steps(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _steps(step.children)


def _walk(flow: Flow) -> Iterator[Flow]:
    yield flow
    for called in flow.called.values():
        yield from _walk(called)
