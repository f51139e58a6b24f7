"""A container as a flow describes it: the value of `container:`, or of one of `services:`, templates filled in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from agent.containers.blueprint import Blueprint
from agent.containers.engine import JOB_LABEL, Credentials
from agent.containers.mounts import Mount, MountKind
from agent.containers.options import OptionReader
from agent.containers.policy import ContainerPolicy
from agent.containers.volumes import read_port, read_volume
from agent.errors import UsageError
from agent.flow.expressions import to_text

# name[:port]/path[:tag][@digest], as the engine's reference grammar has it, and nothing that begins with '-'.
_IMAGE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9.-]*(?::\d+)?(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)*(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)


@dataclass(frozen=True, slots=True)
class Description:
    """What a flow asks for; `where` names the key in messages."""

    image: str
    where: str
    env: Mapping[str, str]
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    options: str
    credentials: Credentials | None
    entrypoint: str
    command: str


def read_description(value: object, where: str) -> Description | None:
    """The container that `value` describes: an image, or a mapping. None when there is no image: then none is wanted.

    Raises UsageError.
    """
    written = value if isinstance(value, Mapping) else {"image": value}
    image = to_text(written.get("image")).removeprefix("docker://").strip()
    if not image:
        return None
    return Description(
        image=check_image(image, where),
        where=where,
        env={str(name): to_text(text) for name, text in _mapping(written, "env", where).items()},
        ports=tuple(_texts(written, "ports", where)),
        volumes=tuple(_texts(written, "volumes", where)),
        options=to_text(written.get("options")),
        credentials=_read_credentials(_mapping(written, "credentials", where), where),
        entrypoint=to_text(written.get("entrypoint")),
        command=to_text(written.get("command")),
    )


def check_image(image: str, where: str) -> str:
    """`image`, when it can be the name of one. Raises UsageError."""
    if len(image) > 512 or _IMAGE.fullmatch(image) is None:
        raise UsageError(f"'{image[:200]}' is no image", where=where, hint="write it as in python:3.12-slim")
    return image


def make_blueprint(
    wanted: Description,
    policy: ContainerPolicy,
    *,
    own_folders: list[str],
    network: str = "",
    gpus: tuple[str, ...] = (),
    labels: Mapping[str, str],
) -> Blueprint:
    """The container that is to be made for `wanted`, whose image has been judged. Raises UsageError, RefusedError."""
    blueprint = Blueprint(wanted.image, env=dict(wanted.env), network=network, gpus=gpus, labels=dict(labels))
    for text in wanted.volumes:
        blueprint.mounts.append(read_volume(text, policy, own_folders, wanted.where))
    blueprint.ports += [read_port(text, wanted.where) for text in wanted.ports]
    OptionReader(blueprint, policy, own_folders, wanted.where).apply(wanted.options)
    blueprint.choose_user(policy, wanted.where)
    blueprint.mounts = [_own_volume(mount, labels) for mount in blueprint.mounts]
    return blueprint


def _own_volume(mount: Mount, labels: Mapping[str, str]) -> Mount:
    """A volume with a name is shared by the containers of one job, and by nobody else."""
    if not mount.source or mount.kind is MountKind.FOLDER:
        return mount
    return replace(mount, source=f"{labels[JOB_LABEL]}_{mount.source}")


def _read_credentials(written: Mapping[str, object], where: str) -> Credentials | None:
    username, password = to_text(written.get("username")), to_text(written.get("password"))
    if not username and not password:
        return None
    if not username or not password:
        missing = "username" if not username else "password"
        raise UsageError(f"the credentials have no {missing}", where=where, hint="is the secret set?")
    return Credentials(username, password)


def _mapping(written: Mapping[str, object], key: str, where: str) -> Mapping[str, object]:
    value = written.get(key)
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(f"'{key}' is no mapping", where=where)
    return value


def _texts(written: Mapping[str, object], key: str, where: str) -> list[str]:
    value = written.get(key)
    if value is None or value == "":
        return []
    if not isinstance(value, (list, tuple)):
        raise UsageError(f"'{key}' is no list", where=where)
    return [to_text(item) for item in value if to_text(item)]
