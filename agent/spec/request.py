"""Requests of a job to a machine, and which GPUs will do for them.

A request is a floor: cores, memory and GPUs of at least this much are the job's for as long as it runs. What is not
asked for is not set aside. Sizes are decimal as makers print them: an `80GB` card reports a little more than that.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.config import read_size
from agent.errors import UsageError
from agent.spec.resources import Gpu, gpu_labels

MOST_PRIORITY = 100
PRIORITY_SECONDS = 600.0  # a point of priority is worth so much waiting
MOST_NODES = 1000
_MOST_GPUS = 10_000
# Labels that speak of GPUs wherever they stand: a machine whose GPUs have failed may still carry them.
_GPU_LABELS = re.compile(r"gpu|nvidia|cuda(-\d+)?|mig(-.+)?")
_EVERY_GPU = ("gpu", "nvidia", "cuda")  # labels that say nothing of which GPU it is


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """GPUs on one machine, each with `memory_bytes` at least; `models`: any of these, empty: whichever.

    `labels` are those of `runs-on` that each of them carries (`agent.spec.resources.gpu_labels`). `mig` is the profile of the
    instances that are asked for (`1g.10gb`); empty: whole GPUs, unless a model or a label says otherwise. With `is_shared` others
    may be on the same GPUs, and `memory_bytes` of each are the job's own.
    """

    count: int = 0
    models: tuple[str, ...] = ()
    memory_bytes: int = 0
    labels: tuple[str, ...] = ()
    mig: str = ""
    is_shared: bool = False

    @staticmethod
    def to_form(fields: dict[str, object]) -> dict[str, object]:
        """As the released form has it, where nothing else is said."""
        for name in ("mig", "is_shared"):
            if not fields[name]:
                del fields[name]
        return fields


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """What one job (one node of a gang) has for itself on its machine. `gpus` None: nothing was said of GPUs."""

    cpus: float = 0.0
    memory_bytes: int = 0
    gpus: GpuRequest | None = None
    protocol: int = (
        0  # not of the machine: the version that its agent has to speak at least (docs/protocol.md)
    )

    @staticmethod
    def to_form(fields: dict[str, object]) -> dict[str, object]:
        """As the released form has it, where any agent will do."""
        if not fields["protocol"]:
            del fields["protocol"]
        return fields


NOTHING = ResourceRequest()


def read_request(value: object, where: str = "resources") -> ResourceRequest:
    """The request in an evaluated `resources:`; None is one for nothing. Raises UsageError."""
    if value is None:
        return NOTHING
    written = _mapping(value, where, ("cpus", "memory", "gpus"))
    return ResourceRequest(
        cpus=_number(written.get("cpus", 0.0), f"{where}.cpus"),
        memory_bytes=_size(written.get("memory"), f"{where}.memory"),
        gpus=_read_gpus(written["gpus"], f"{where}.gpus") if "gpus" in written else None,
    )


def read_whole(value: object, where: str, *, least: int, most: int) -> int:
    """An evaluated whole number (text that is one counts). Raises UsageError when it is not or is out of bounds."""
    text = value.strip() if isinstance(value, str) else ""
    number = float(text) if re.fullmatch(r"[+-]?[0-9]{1,9}", text) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not least <= number <= most:
        raise UsageError(f"'{where}' is not a whole number from {least} to {most}: {value!r}", where=where)
    if number != int(number):
        raise UsageError(f"'{where}' is not a whole number: {value!r}", where=where)
    return int(number)


def wanted_gpus(request: ResourceRequest, labels: Collection[str], gpus: Collection[Gpu]) -> GpuRequest:
    """The GPUs that a job asks for on a machine with `gpus`: by number, or one of them by a label in its `runs-on`.

    A label that the machine has only because of its GPUs (`h200`, `gpu`, `cuda-12`) asks for one that carries it. With a
    number and no model it says which: `gpus: 2` of `runs-on: h200` are two H200.
    """
    named = {label.lower() for label in labels}
    carried = {label for gpu in gpus for label in gpu_labels(gpu)} & named
    if request.gpus is not None:
        return request.gpus if request.gpus.models else replace(request.gpus, labels=tuple(sorted(carried)))
    spoken = {label for label in named if _GPU_LABELS.fullmatch(label)}
    if not carried | spoken:
        return GpuRequest()
    instances = {label for label in spoken if label.startswith("mig")}
    return GpuRequest(1, labels=tuple(sorted(carried | instances)))


def matches(wanted: GpuRequest, gpu: Gpu) -> bool:
    """Whether `gpu` is of the kind that is asked for. An instance of a GPU is given only to who names `mig`."""
    if wanted.memory_bytes > (gpu.memory_bytes or 0):
        return False
    if wanted.labels and not gpu_labels(gpu).issuperset(wanted.labels):
        return False
    words = _words(gpu.name)
    models = [_words(model) for model in wanted.models]
    if wanted.mig:
        is_such = gpu.mig_parent is not None and wanted.mig == gpu.name.lower().partition(" mig ")[2]
        return is_such and (not models or any(model <= words for model in models))
    if gpu.mig_parent is not None:
        models = [model for model in models if "mig" in model]
        by_label = not wanted.models and any(label.startswith("mig") for label in wanted.labels)
        return by_label or any(model <= words for model in models)
    return not models or any(model <= words for model in models)


def describe(request: ResourceRequest, gpus: GpuRequest) -> str:
    """The request in words: `4 h100 GPUs with 80 GB, 16 cpus and 64 GB of memory`; empty for nothing."""
    return join_words(list_wanted(request, gpus))


def list_wanted(request: ResourceRequest, gpus: GpuRequest, *, adjective: str = "") -> list[str]:
    """What is asked for, thing by thing; with the adjective `free`: `4 free h100 GPUs`, `64 GB of free memory`."""
    said = f"{adjective} " if adjective else ""
    parts = [_describe_gpus(gpus, said)] if gpus.count else []
    if request.cpus:
        parts.append(f"{request.cpus:g} {said}cpu{'' if request.cpus == 1 else 's'}")
    if request.memory_bytes:
        parts.append(f"{format_size(request.memory_bytes)} of {said}memory")
    return parts


def join_words(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def format_size(size_bytes: int) -> str:
    """`80 GB`, `1.5 TB`, `512 MB`."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.4g} {unit}"
    return f"{size_bytes} bytes"


def _describe_gpus(gpus: GpuRequest, said: str) -> str:
    kind = " or ".join(gpus.models) or " ".join(label for label in gpus.labels if label not in _EVERY_GPU)
    memory = f" with {format_size(gpus.memory_bytes)}" if gpus.memory_bytes else ""
    noun = f"MIG {gpus.mig} instance" if gpus.mig else "GPU"
    sharing = " to share" if gpus.is_shared else ""
    return f"{gpus.count} {said}{f'{kind} ' if kind else ''}{noun}{'' if gpus.count == 1 else 's'}{memory}{sharing}"


def _read_gpus(value: object, where: str) -> GpuRequest:
    if not isinstance(value, Mapping):
        return GpuRequest(read_whole(0 if value is None else value, where, least=0, most=_MOST_GPUS))
    written = _mapping(value, where, ("count", "model", "memory", "mig", "share"))
    request = GpuRequest(
        count=read_whole(written.get("count", 1), f"{where}.count", least=0, most=_MOST_GPUS),
        models=_models(written.get("model"), f"{where}.model"),
        memory_bytes=_size(written.get("memory"), f"{where}.memory"),
        mig=_profile(written.get("mig"), f"{where}.mig"),
        is_shared=_flag(written.get("share"), f"{where}.share"),
    )
    if request.is_shared and not request.memory_bytes:
        raise UsageError(
            f"'{where}.share' is for who says how much of each GPU is its own",
            where=where,
            hint="write {memory: 10GB, share: true}",
        )
    return request


def read_profile(text: str) -> str:
    """The MIG profile that is written as `1g.10gb`, `mig-1g.10gb` or `MIG 1g.10gb`, as it is named here; empty: it is none."""
    profile = re.sub(r"^mig[ -]", "", text.strip().lower())
    return profile if re.fullmatch(r"[0-9][a-z0-9.+-]*", profile) else ""


def _profile(value: object, where: str) -> str:
    if value is None or value == "":
        return ""
    profile = read_profile(value) if isinstance(value, str) else ""
    if not profile:
        raise UsageError(f"'{where}' is not a MIG profile: {value!r}", where=where, hint="write 1g.10gb")
    return profile


def _flag(value: object, where: str) -> bool:
    if value in (None, "", "false"):
        return False
    if value == "true" or isinstance(value, bool):
        return bool(value)
    raise UsageError(f"'{where}' is neither true nor false: {value!r}", where=where)


def _models(value: object, where: str) -> tuple[str, ...]:
    models = [value] if isinstance(value, str) else value
    if models is None:
        return ()
    if not isinstance(models, (list, tuple)) or not all(isinstance(model, str) for model in models):
        raise UsageError(f"'{where}' is neither a model nor a list of models", where=where)
    return tuple(model.strip() for model in models if model.strip())


def _size(value: object, where: str) -> int:
    if value is None or value == "":
        return 0
    if not isinstance(value, str) or value.strip().isdigit():
        raise UsageError(f"'{where}' is a size with a unit, not {value!r}", where=where, hint="write 80GB")
    return read_size(value, where)


def _number(value: object, where: str) -> float:
    try:
        number = float(value) if isinstance(value, (int, float, str)) else -1.0
    except ValueError:
        number = -1.0
    if isinstance(value, bool) or not 0 <= number < float("inf"):
        raise UsageError(f"'{where}' is not a number of at least 0: {value!r}", where=where)
    return number


def _mapping(value: object, where: str, known: tuple[str, ...]) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise UsageError(f"'{where}' is not a mapping of {', '.join(known)}", where=where)
    for key in value:
        if key not in known:
            raise UsageError(
                f"'{where}' has the unknown key '{key}'", where=where, hint=f"known are {', '.join(known)}"
            )
    return value


def _words(name: str) -> frozenset[str]:
    """`NVIDIA A100-SXM4-80GB` → nvidia, a100, sxm4, 80gb. A model is meant when all of its words are there."""
    return frozenset(re.findall(r"[a-z0-9.]+", name.lower()))
