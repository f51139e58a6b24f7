"""The steps of a workflow, and the container that they run in."""

import shlex
from typing import Final

from agent.flow.dialects.dstack.makers import Made, Making
from agent.flow.dialects.dstack.resources import read_size
from agent.flow.expressions import has_expression
from agent.flow.model import Position, Step, StepKind, Template
from agent.flow.tidied import list_fields, text_of

_CHECKOUT: Final = "flow-agent/checkout@v1"


def make_steps(making: Making, made: Made, workflow: str) -> tuple[Step, ...]:
    """Its code is fetched, then its commands run: all of them in one shell."""
    position = making.node.position
    code = Step(
        StepKind.USES, "__code", position, name="Get the code", uses=_CHECKOUT, with_={"required": "false"}
    )
    folder = text_of(making.fields.get("working_dir")) or None
    name = f"Run {workflow}"
    if made.entrypoint is not None:
        return code, _run_image(making, made, name, position)
    run = Step(
        StepKind.RUN,
        "__commands",
        position,
        name=name,
        run=list(made.commands),
        shell=made.runs_in,
        working_directory=folder,
    )
    return code, run


def make_container(making: Making, made: Made) -> Template:
    """The job's container, where its commands run in one; `shm_size` is this container's."""
    shared = list_fields(making.fields.get("resources")).get("shm_size")
    size = "" if shared is None else read_size(making.reader, shared)
    if not made.image or made.entrypoint is not None:
        if shared is not None:
            hint = (
                "the workflow has the shared memory of its machine"
                if not made.image
                else "say its `commands`"
            )
            making.reader.warn(shared, "`shm_size` changes nothing here", hint)
        return None
    container: dict[str, Template] = {"image": made.image}
    credentials = list_fields(making.fields.get("registry_auth"))
    if credentials:
        container["credentials"] = {key: text_of(value) for key, value in credentials.items()}
    if size:
        container["options"] = f"--shm-size {size.rstrip('B').rstrip('i').lower()}"
    return container


def _run_image(making: Making, made: Made, name: str, position: Position) -> Step:
    """The image runs by itself: what it does, or its entrypoint with all commands as one word."""
    fields = making.fields
    if has_expression(made.image):
        hint = "say its `commands`, without an `entrypoint`"
        making.reader.report(fields["image"], "a variable can't name an image that runs by itself", hint)
    for key in ("working_dir", "home_dir", "registry_auth"):
        if key in fields:
            hint = "say its `commands`, without an `entrypoint`"
            making.reader.warn(fields[key], f"`{key}` changes nothing where the image runs by itself", hint)
    program, *words = made.entrypoint or ("",)
    commands = [" && ".join(made.commands)] if made.commands else []
    with_ = {"entrypoint": program, "args": shlex.join([*words, *commands])} if program else {}
    return Step(StepKind.USES, "__image", position, name=name, uses=f"docker://{made.image}", with_=with_)
