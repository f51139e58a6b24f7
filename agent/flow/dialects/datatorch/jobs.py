"""`jobs`: each job with its steps. They run side by side, and one that fails doesn't stop the others."""

import re
from typing import Final

from agent.flow.dialects.datatorch.actions import OWN
from agent.flow.dialects.datatorch.steps import read_steps
from agent.flow.model import Job, Position, Step, StepKind, Template
from agent.flow.needs import check_needs
from agent.flow.nodes import Mapping, Node, Scalar, key_text
from agent.flow.reading import Reader
from agent.flow.resources import read_resources
from agent.flow.tidied import list_fields, list_items, list_pairs, template_of, texts_of

_CHECKOUT: Final = "flow-agent/checkout@v1"
_ID: Final = re.compile(r"[_a-zA-Z][a-zA-Z0-9_-]*")


def read_jobs(reader: Reader, node: Node | None) -> dict[str, Job]:
    """All jobs by id, in the file's order."""
    if not isinstance(node, Mapping):
        return {}
    pairs = [(key, value) for key, value in node.pairs if isinstance(value, Mapping)]
    if not node.pairs:
        reader.report(node, "a flow has at least one job", "write it as `jobs: {ID: {steps: [...]}}`")
    jobs = {key_text(key): _read_job(reader, key, value) for key, value in pairs}
    if pairs:
        check_needs(reader, node)
    return jobs


def _read_job(reader: Reader, key: Scalar, node: Mapping) -> Job:
    identifier = key_text(key)
    if not _ID.fullmatch(identifier):
        reader.report(
            key,
            f"'{identifier[:80]}' is no id of a job",
            "a letter or '_', then letters, digits, '-' and '_'",
        )
    fields = list_fields(node)
    if not list_items(fields.get("steps")):
        reader.warn(node, f"the job '{identifier[:80]}' has no steps", "it succeeds, and nothing is done")
    steps = read_steps(reader, fields.get("steps"), texts_of(fields.get("needs")))
    return Job(
        identifier,
        key.position,
        name=template_of(fields.get("name")) or None,
        needs=texts_of(fields.get("needs")),
        runs_on=texts_of(fields.get("runs-on")),
        resources=read_resources(reader, fields.get("resources")),
        steps=(_check_out(key.position), *steps) if any(map(_is_own, steps)) else steps,
        outputs=_read_outputs(fields.get("outputs")),
        sees_secrets=True,
    )


def _is_own(step: Step) -> bool:
    return (step.uses or "").startswith(OWN)


def _check_out(place: Position) -> Step:
    """The step that brings the flow's own repository, in which its actions are looked for."""
    return Step(StepKind.USES, "__checkout", place, name="Check out the code", uses=_CHECKOUT)


def _read_outputs(node: Node | None) -> dict[str, Template]:
    return {key_text(key): template_of(value) for key, value in list_pairs(node)}
