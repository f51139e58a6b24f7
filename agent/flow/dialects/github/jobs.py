"""`jobs`: each job, and that they can all get their turn."""

import re
from typing import TYPE_CHECKING

from agent.errors import UsageError
from agent.flow.checkpoints import read_checkpoints
from agent.flow.dialects.github.parts import (
    holds_expression,
    is_expression,
    list_fields,
    list_items,
    list_pairs,
    map_of,
    read_concurrency,
    read_condition,
    read_defaults,
    read_permissions,
    template_of,
    text_of,
    texts_of,
)
from agent.flow.dialects.github.steps import check_credentials, read_steps
from agent.flow.dialects.github.strategy import read_strategy
from agent.flow.dialects.github.table.contexts import JOB_IF, MATRIX
from agent.flow.dialects.github.table.shared import PERMISSION_FIELDS
from agent.flow.identifiers import explain_invalid
from agent.flow.model import FlowCall, Job, Template
from agent.flow.needs import check_needs
from agent.flow.reading import Reader
from agent.flow.resources import read_minutes, read_resources, read_whole
from agent.flow.retry import read_retry
from agent.flow.source import Mapping, Node, Scalar, key_text

if TYPE_CHECKING:
    from agent.flow.data import App, BroughtData, KeptData

PERMISSION_LEVELS = {name: key.shape.words for name, key in PERMISSION_FIELDS.keys.items()}
_GROUP_PREFIXES = ("org", "organization", "ent", "enterprise")
_SNAPSHOT_VERSION = r"[0-9]{1,9}\.\*"
_CALL = r"(?:\./|\$/)[^@]+|[^/@\s]+/[^/@\s]+/[^@]+@\S+|https://[^@]+@\S+"


def read_jobs(reader: Reader, node: Node | None) -> dict[str, Job]:
    """All jobs by id, in the file's order."""
    if not isinstance(node, Mapping):
        return {}
    pairs = [(key, value) for key, value in node.pairs if isinstance(value, Mapping)]
    jobs = {key_text(key): _read_job(reader, key, value) for key, value in pairs}
    check_needs(reader, node)
    return jobs


def _read_job(reader: Reader, key: Scalar, node: Mapping) -> Job:
    identifier = key_text(key)
    complaint = explain_invalid(identifier)
    if complaint:
        reader.report(key, complaint)
    fields = list_fields(node)
    _check_runs_on(reader, fields.get("runs-on"))
    _check_containers(reader, fields)
    _check_snapshot(reader, fields.get("snapshot"))
    _check_retry(reader, fields.get("retry"))
    _check_checkpoints(reader, fields.get("checkpoints"))
    return Job(
        identifier,
        key.position,
        name=template_of(fields.get("name")) or None,
        needs=tuple(text_of(item) for item in list_items(fields.get("needs"))),
        condition=read_condition(reader, fields.get("if"), JOB_IF),
        runs_on=template_of(fields.get("runs-on")),
        strategy=read_strategy(reader, fields.get("strategy")),
        env=template_of(fields.get("env")),
        defaults=read_defaults(fields.get("defaults")),
        steps=read_steps(reader, fields.get("steps")),
        outputs=map_of(fields.get("outputs")),
        timeout_minutes=read_minutes(reader, fields.get("timeout-minutes"), default=360.0),
        cancel_timeout_minutes=read_minutes(reader, fields.get("cancel-timeout-minutes"), default=5.0),
        continue_on_error=template_of(fields.get("continue-on-error"), default=False),
        container=template_of(fields.get("container")),
        services=template_of(fields.get("services")),
        environment=template_of(fields.get("environment")),
        permissions=read_permissions(fields.get("permissions"), PERMISSION_LEVELS),
        concurrency=read_concurrency(reader, fields.get("concurrency")),
        snapshot=_read_snapshot(reader, fields.get("snapshot")),
        resources=read_resources(reader, fields.get("resources")),
        priority=read_whole(reader, fields.get("priority"), least=-100, most=100, default=0),
        nodes=read_whole(reader, fields.get("nodes"), least=1, most=1000, default=1),
        retry=template_of(fields.get("retry")),
        interruptible=template_of(fields.get("interruptible"), default=False),
        checkpoints=template_of(fields.get("checkpoints")),
        brings=_read_brings(reader, fields),
        keeps=_read_keeps(reader, fields.get("keeps")),
        apps=_read_apps(reader, fields.get("apps")),
        call=_read_call(reader, fields),
    )


def _read_brings(reader: Reader, fields: dict[str, Node]) -> "tuple[BroughtData, ...]":
    if "brings" not in fields:
        return ()
    from agent.flow.dialects.github.data import read_brings  # of few jobs, as the next two

    return read_brings(reader, fields["brings"], texts_of(fields.get("needs")))


def _read_keeps(reader: Reader, node: Node | None) -> "tuple[KeptData, ...]":
    if node is None:
        return ()
    from agent.flow.dialects.github.data import read_keeps

    return read_keeps(reader, node)


def _read_apps(reader: Reader, node: Node | None) -> "tuple[App, ...]":
    if node is None:
        return ()
    from agent.flow.dialects.github.apps import read_apps

    return read_apps(reader, node)


def _read_call(reader: Reader, fields: dict[str, Node]) -> FlowCall | None:
    uses = fields.get("uses")
    if uses is None:
        return None
    if (
        not check_credentials(reader, uses)
        and text_of(uses)
        and not is_expression(uses)
        and not re.fullmatch(_CALL, text_of(uses))
    ):
        reader.report(
            uses,
            f"invalid value workflow reference: '{text_of(uses)}'",
            "name a file of this repository, `./.github/workflows/file.yml`, or `owner/repo/path/file.yml@ref`",
        )
    secrets = fields.get("secrets")
    return FlowCall(
        text_of(uses),
        with_=map_of(fields.get("with")),
        secrets=map_of(secrets) if isinstance(secrets, Mapping) else {},
        inherits_secrets=text_of(secrets) == "inherit",
    )


def _check_runs_on(reader: Reader, node: Node | None) -> None:
    group = list_fields(node).get("group")
    if group is None or is_expression(group):
        return
    name = text_of(group)
    prefix, slash, rest = name.partition("/")
    if not slash:
        return
    if prefix not in _GROUP_PREFIXES or "/" in rest:
        reader.report(
            group,
            f"Invalid runs-on group name '{name}'. Please use 'organization/' or 'enterprise/' prefix to target a "
            "single runner group.",
        )
    elif not rest:
        reader.report(group, f"Invalid runs-on group name '{name}'.")


def _check_containers(reader: Reader, fields: dict[str, Node]) -> None:
    container = fields.get("container")
    if container is not None:
        _check_image(reader, container, may_be_empty=True)
    services = fields.get("services")
    if services is not None and not holds_expression(services):
        for _, service in list_pairs(services):
            _check_image(reader, service, may_be_empty=False)


def _check_image(reader: Reader, node: Node, *, may_be_empty: bool) -> None:
    """No image means no container, which only a job may have, and only where it says so by an empty name."""
    if holds_expression(node):
        return
    image = node if isinstance(node, Scalar) else list_fields(node).get("image")
    name = text_of(image)
    if image is None or name == "docker://" or (not name and not may_be_empty):
        reader.report(node, "Container image cannot be empty")


def _check_retry(reader: Reader, node: Node | None) -> None:
    if node is None or holds_expression(node) or (isinstance(node, Mapping) and node.find("max") is None):
        return
    try:
        read_retry(template_of(node), str(node.position))
    except UsageError as error:
        reader.report(node, error.what, error.hint)


def _check_checkpoints(reader: Reader, node: Node | None) -> None:
    if node is None or holds_expression(node) or (isinstance(node, Mapping) and node.find("paths") is None):
        return
    try:
        read_checkpoints(template_of(node), str(node.position))
    except UsageError as error:
        reader.report(node, error.what, error.hint)


def _check_snapshot(reader: Reader, node: Node | None) -> None:
    version = list_fields(node).get("version")
    if node is None or version is None or is_expression(version):
        return
    if not re.fullmatch(_SNAPSHOT_VERSION, text_of(version)):
        reader.report(node, f"Expected format '{{major-version}}.*' Actual '{text_of(version)}'")


def _read_snapshot(reader: Reader, node: Node | None) -> Template:
    """With its `if` in normal form."""
    value = template_of(node)
    condition = list_fields(node).get("if")
    if isinstance(value, dict) and condition is not None:
        value["if"] = read_condition(reader, condition, MATRIX)
    return value
