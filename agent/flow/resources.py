"""`resources`, `priority`, `nodes` and minutes of a job, as languages share them. What has no expression in it is checked here."""

import re

from agent.config import read_size
from agent.errors import UsageError
from agent.flow.expressions import has_expression
from agent.flow.model import MOST_MINUTES, Template
from agent.flow.reading import Reader
from agent.flow.shapes import BOOLEAN, FILLED, NUMBER, TEXT_OR_TEXTS, Fields, Key, mapping, one_of
from agent.flow.source import Mapping, Node, Scalar
from agent.flow.tidied import list_fields, template_of, text_of

_MIG_PROFILE = re.compile(r"(mig[ -])?[0-9][a-z0-9.+-]*", re.IGNORECASE)  # as agent.spec.request reads it
GPUS = Fields(
    "gpus",
    Key("count", NUMBER, "How many; 1 unless said."),
    Key(
        "model",
        TEXT_OR_TEXTS,
        "Words of the GPU's name, such as `h100` or `a100-80gb`; a list: any of these.",
    ),
    Key(
        "memory",
        FILLED,
        "How much memory each has at least, such as `80GB`; with `share` how much of it is the job's own.",
    ),
    Key("mig", FILLED, "Instances of this MIG profile, such as `1g.10gb`, instead of whole GPUs."),
    Key(
        "share",
        BOOLEAN,
        "Whether other jobs that share may be on the same GPUs, as far as their `memory` goes.",
    ),
)
RESOURCES = Fields(
    "resources",
    Key("cpus", NUMBER, "Cores, or a fraction of one."),
    Key("memory", FILLED, "Memory, such as `64GB`."),
    Key(
        "gpus",
        one_of(NUMBER, mapping(GPUS)),
        "GPUs, which nobody else has while the job runs, unless both share them.",
    ),
)


def read_resources(reader: Reader, node: Node | None) -> Template:
    """`resources` as written."""
    fields = list_fields(node)
    gpus = fields.get("gpus")
    _check_size(reader, fields.get("memory"))
    _check_size(reader, list_fields(gpus).get("memory"))
    _check_whole(reader, list_fields(gpus).get("count") if isinstance(gpus, Mapping) else gpus, 0, 10_000)
    _check_sharing(reader, list_fields(gpus))
    return template_of(node)


def read_whole(reader: Reader, node: Node | None, *, least: int, most: int, default: int) -> Template:
    """A key that is a whole number, or an expression that gives one."""
    _check_whole(reader, node, least, most)
    return template_of(node, default=default)


def read_minutes(reader: Reader, node: Node | None, *, default: Template = None) -> Template:
    """A key that is a number of minutes, or an expression that gives one."""
    value = node.value if isinstance(node, Scalar) and not _is_expression(node) else 0
    if isinstance(value, (int, float)) and not 0 <= value <= MOST_MINUTES:
        assert node is not None
        found = f"expected minutes from 0 to {MOST_MINUTES} (a year), found {text_of(node)}"
        reader.report(node, found, "0 is without an end")
    return template_of(node, default=default)


def _check_whole(reader: Reader, node: Node | None, least: int, most: int) -> None:
    if not isinstance(node, Scalar) or _is_expression(node):
        return
    value = node.value
    if isinstance(value, (int, float)) and (not least <= value <= most or value != int(value)):
        reader.report(node, f"expected a whole number from {least} to {most}, found {text_of(node)}")


def _check_size(reader: Reader, node: Node | None) -> None:
    if not isinstance(node, Scalar) or _is_expression(node):
        return
    text = text_of(node)
    try:
        read_size(text, "")
    except UsageError:
        reader.report(node, f"'{text}' is not a size", "write it as 80GB or 64 GiB")
    else:
        if text.strip().isdigit():
            reader.report(node, f"the size '{text}' has no unit", f"write {text}GB or {text}MB")


def _check_sharing(reader: Reader, gpus: dict[str, Node]) -> None:
    mig, share = gpus.get("mig"), gpus.get("share")
    if (
        isinstance(mig, Scalar)
        and not _is_expression(mig)
        and not _MIG_PROFILE.fullmatch(text_of(mig).strip())
    ):
        reader.report(mig, f"'{text_of(mig)}' is not a MIG profile", "write 1g.10gb")
    if isinstance(share, Scalar) and share.value is True and "memory" not in gpus:
        words = "'share' is for who says how much of each GPU is its own"
        reader.report(share, words, "write {memory: 10GB, share: true}")


def _is_expression(node: Node | None) -> bool:
    """Whether a node is text with an expression in it."""
    return isinstance(node, Scalar) and isinstance(node.value, str) and has_expression(node.value)
