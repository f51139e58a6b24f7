"""Which secrets a job names, so that an agent is handed those and no others."""

import re
from collections.abc import Iterator, Mapping

from agent.flow.model import Flow, Job, Step

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
# `secrets.NAME`, `secrets['NAME']`, or the bare context in any other use (toJSON(secrets), secrets[matrix.key]).
_USE = re.compile(r"\bsecrets\b(?:\s*\.\s*([A-Za-z_][\w-]*)|\s*\[\s*'([^']+)'\s*\])?", re.IGNORECASE)


def used_secrets(flow: Flow, job: Job, known: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the `known` secrets that the job, or the flow's `env`, can reach.

    A use that is decided only at run time (`secrets[matrix.key]`) reaches all of them.
    """
    names = {name.lower() for name in _named(_job_templates(flow, job))}
    return known if "*" in names else tuple(name for name in known if name.lower() in names)


def named_secrets(flow: Flow) -> dict[str, str]:
    """Every secret that the flow names outright, as name → the place of the job that does.

    GITHUB_TOKEN always exists and is not among them.
    """
    found: dict[str, str] = {}
    for job in flow.jobs.values():
        for name in _named(_job_templates(flow, job)):
            if name not in ("*", "GITHUB_TOKEN"):
                found.setdefault(name, str(job.position))
    return found


def _job_templates(flow: Flow, job: Job) -> Iterator[object]:
    yield from (flow.env, job.env, job.outputs, job.container, job.services)
    if job.call:
        yield from (job.call.with_, job.call.secrets)
    yield from (template for step in job.steps for template in _step_templates(step))


def _step_templates(step: Step) -> Iterator[object]:
    yield from (step.name, step.run, step.with_, step.env, step.working_directory)
    yield from (step.continue_on_error, step.timeout_minutes)
    yield from (template for child in step.children for template in _step_templates(child))


def _named(templates: Iterator[object]) -> Iterator[str]:
    for template in templates:
        for text in _texts(template):
            for expression in _EXPRESSION.findall(text):
                for dotted, indexed in _USE.findall(expression):
                    yield dotted or indexed or "*"


def _texts(template: object) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping):
        for key, value in template.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(template, (list, tuple)):
        for value in template:
            yield from _texts(value)
