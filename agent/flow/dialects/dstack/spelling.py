"""A flow of workflows with what dstack's conventions alone bring said in its steps: so it can be written in another language.

These are an environment of Python's own, conda, the old names of ports and hosts, and a shell that goes on until a command fails.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from agent.flow.inputs import is_named_as_secret
from agent.flow.model import Flow, Job, Position, Step, StepKind, Template
from agent.flow.problems import Problem, Severity

_PYTHON: Final = re.compile(r"(?:^|[^\w./-])(?:python3?|pip3?)\b", re.MULTILINE)
_CONDA: Final = re.compile(r"(?:^|[^\w-])conda\b", re.MULTILINE)
# Names of 2022, and what makes them: of ports there may be several, each is its own.
_OLD_NAMES: Final = {
    "JOB_HOSTNAME": "export JOB_HOSTNAME=$(hostname)",
    "MASTER_JOB_HOSTNAME": "export MASTER_JOB_HOSTNAME=${MASTER_ADDR:-$(hostname)}",
    "MASTER_JOB_PORT_0": "export MASTER_JOB_PORT_0=${MASTER_PORT:-}",
    **{f"JOB_PORT_{number}": f"export JOB_PORT_{number}=$PORT_{number}" for number in range(10)},
}
_OLD_NAME: Final = re.compile(r"\b((?:MASTER_JOB|JOB)_HOSTNAME|MASTER_JOB_PORT_0|JOB_PORT_\d)\b")
_CALLERS: Final = re.compile(r"\$\{\{ (inputs\['env\.\w+'\]) \|\| env\.(\w+) \}\}")
_RUN_NAME: Final = re.compile(r"\bRUN_NAME\b|\brun\.name\b")
_SHELLS: Final = {"bash": "bash --noprofile --norc {0}", "sh": "sh {0}"}
_MAKE: Final = 'python{} -m venv "$RUNNER_TEMP/python" && echo "$RUNNER_TEMP/python/bin" >> "$GITHUB_PATH"'


def spell_out(flow: Flow) -> tuple[Flow, list[Problem]]:
    """The flow, and what is a little different then."""
    jobs = {name: _spell_job(job) for name, job in flow.jobs.items()}
    triggers = tuple(
        replace(
            trigger, inputs=tuple(given for given in trigger.inputs if not is_named_as_secret(given.variable))
        )
        for trigger in flow.triggers
    )
    return replace(flow, jobs=jobs, triggers=triggers, run_name=None), list(_tell_differences(flow, jobs))


def _tell_differences(flow: Flow, jobs: Mapping[str, Job]) -> Iterator[Problem]:
    first = next(iter(flow.jobs.values())).position
    yield _differ(
        first,
        "each secret of the project is a variable of a workflow, and there of a job that names it in `env`",
    )
    for job in jobs.values():
        if "RUN_NAME" in _env_of(job):
            yield _differ(job.position, "`run.name` is a run's readable name, and there its number")
        if job.container is not None:
            yield _differ(job.position, "a container has the code in /workflow, and there in its workspace")


def _differ(position: Position, message: str) -> Problem:
    return Problem(position, message, severity=Severity.WARNING)


def _spell_job(job: Job) -> Job:
    *before, work = job.steps
    env = _env_of(job)
    python = str(env.pop("FLOW_PYTHON", ""))
    text = _text_of(work)
    told = " ".join([text, *(str(value) for key, value in env.items() if key != "RUN_NAME")])
    if not _RUN_NAME.search(told):
        env.pop("RUN_NAME", None)
    if work.kind is StepKind.RUN and job.container is None and (python or _PYTHON.search(text)):
        make = _MAKE.format(python or "3")
        name = "Make an environment for Python"
        before.append(replace(work, id="__python", name=name, run=make, working_directory=None))
    if work.kind is StepKind.RUN:
        work = _spell_commands(work, text)
    spelt = {key: _spell_callers(value) for key, value in env.items()}
    return replace(job, steps=(*before, work), env=spelt or None, sees_all_secrets=False)


def _spell_callers(value: Template) -> Template:
    """A bare name of the caller's environment: else it is a secret of that name, and one that is called like one is nothing else."""
    match = _CALLERS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    given, name = match.groups()
    return (
        f"${{{{ secrets.{name} }}}}" if is_named_as_secret(name) else f"${{{{ {given} || secrets.{name} }}}}"
    )


def _spell_commands(work: Step, text: str) -> Step:
    commands = work.run if isinstance(work.run, list) else [work.run]
    heads = [_OLD_NAMES[name] for name in dict.fromkeys(_OLD_NAME.findall(text))]
    if work.shell == "bash" and _CONDA.search(text):
        heads.append('eval "$(conda shell.bash hook)"')
    if work.shell == "bash" and re.search(r"\balias\b", text):
        heads.append("shopt -s expand_aliases")
    run = [*heads, *(str(command).replace("$FLOW_TEMP", "$RUNNER_TEMP") for command in commands)]
    return replace(work, run=run, shell=_SHELLS.get(work.shell or "bash", work.shell))


def _env_of(job: Job) -> dict[str, Template]:
    return dict(job.env) if isinstance(job.env, dict) else {}


def _text_of(step: Step) -> str:
    commands = step.run if isinstance(step.run, list) else [step.run, *step.with_.values()]
    return "\n".join(map(str, commands))
