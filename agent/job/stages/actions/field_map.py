"""`field_map`: chooses, renames and converts the fields of an object.

    take      only these fields stay, and those that are renamed or converted
    drop      these go, whatever else is said of them
    rename    old name -> new name
    convert   name (old or new) -> int, float, string, bool

Without any of them a record goes on as it came. What can't be converted is a dead letter at once: it never will be.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from agent.errors import AgentError
from agent.job.stages.actions.pure import PureStage, describe, need_object
from agent.job.stages.stage import Done, StageContext, StageError, Value

Convert = Callable[[object], object]
Object = dict[str, object]


def make(context: StageContext) -> PureStage:
    """A field_map. Raises AgentError when a field is to become what is none of the four kinds."""
    config = context.config
    take, drop = _names(config.get("take")), _names(config.get("drop")) or ()
    rename, convert = _mapping(config.get("rename")), _converters(config.get("convert"), context.name)
    if take is None and not drop and not rename and not convert:
        return PureStage(Done)
    named = None if take is None else list(dict.fromkeys([*take, *rename, *_old_names(convert, rename)]))
    kept = None if named is None else [name for name in named if name not in drop]
    if kept is not None and not rename:
        return PureStage(_take(kept, convert))

    def change(value: Value) -> Object:
        record = need_object(value)
        if kept is None:
            chosen = {name: item for name, item in record.items() if name not in drop}
        else:
            chosen = {name: record[name] for name in kept if name in record}
        if rename:
            chosen = {rename.get(name, name): item for name, item in chosen.items()}
        for name, turn in convert.items():
            name = rename.get(name, name)
            if name in chosen:
                chosen[name] = _convert(turn, name, chosen[name])
        return chosen

    return PureStage(lambda batch: Done([change(value) for value in batch]))


def _take(kept: Sequence[str], convert: Mapping[str, Convert]) -> Callable[[Sequence[Value]], Done]:
    """The quick way where fields stay as they are called; a batch in which a record lacks one takes the slow one."""
    quick = _compile_take(kept, convert)

    def change(value: Value) -> Object:
        record = need_object(value)
        chosen = {name: record[name] for name in kept if name in record}
        for name, turn in convert.items():
            if name in chosen:
                chosen[name] = _convert(turn, name, chosen[name])
        return chosen

    def work(batch: Sequence[Value]) -> Done:
        try:
            return Done(quick(batch))
        except (KeyError, TypeError, IndexError, ValueError, OverflowError):
            return Done([change(value) for value in batch])

    return work


def _compile_take(
    kept: Sequence[str], convert: Mapping[str, Convert]
) -> Callable[[Sequence[Value]], list[Object]]:
    """`[{"id": value["id"], "total": int(value["total"])} for value in batch]`: a third of what a loop over the fields takes.

    The text that is compiled has numbers in it and nothing of the flow's: names and conversions are its variables.
    """
    known: dict[str, object] = {"__builtins__": {}}
    parts = []
    for place, name in enumerate(kept):
        known[f"n{place}"] = name
        item = f"value[n{place}]"
        if name in convert:
            known[f"c{place}"] = _QUICK.get(convert[name], convert[name])
            item = f"c{place}({item})"
        parts.append(f"n{place}: {item}")
    text = f"lambda batch: [{{{', '.join(parts)}}} for value in batch]"
    return cast("Callable[[Sequence[Value]], list[Object]]", eval(text, known))  # noqa: S307 - see above


def _convert(turn: Convert, name: str, value: object) -> object:
    try:
        return turn(value)
    except (ValueError, TypeError, OverflowError):
        shown = json.dumps(value)[:80] if not isinstance(value, dict | list) else describe(value)
        kind = _KIND_NAMES[turn]
        raise StageError(f"field '{name}' can't become {kind}: {shown}", is_final=True) from None


def _to_int(value: object) -> int:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return int(value)
    if not isinstance(value, str):
        raise TypeError
    try:
        return int(value)
    except ValueError:
        return int(_to_float(value))


def _to_float(value: object) -> float:
    if not isinstance(value, int | float | str):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _to_string(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _to_bool(value: object) -> bool:
    if isinstance(value, str):
        return _BOOLS[value.strip().lower()]
    if isinstance(value, int | float):
        return bool(value)
    raise TypeError


class _Words(dict[str, bool]):
    def __missing__(self, key: str) -> bool:
        raise ValueError(key)


_BOOLS = _Words(
    {
        "true": True,
        "yes": True,
        "on": True,
        "1": True,
        "false": False,
        "no": False,
        "off": False,
        "0": False,
        "": False,
    }
)
_KINDS: dict[str, Convert] = {"int": _to_int, "float": _to_float, "string": _to_string, "bool": _to_bool}
_QUICK: dict[Convert, Convert] = {
    _to_int: cast("Convert", int)
}  # where it raises, the slow one has the last word
_KIND_NAMES: dict[Convert, str] = {
    _to_int: "an int",
    _to_float: "a float",
    _to_string: "a string",
    _to_bool: "a bool",
}


def _converters(said: object, where: str) -> dict[str, Convert]:
    found = {}
    for name, kind in _mapping(said).items():
        if kind not in _KINDS:
            raise AgentError(f"`convert` knows {', '.join(_KINDS)}, not '{kind}'", where=where)
        found[name] = _KINDS[kind]
    return found


def _old_names(convert: Mapping[str, Convert], rename: Mapping[str, str]) -> list[str]:
    """The fields of the record that came which are converted: their new names may have been said."""
    renamed = {new: old for old, new in rename.items()}
    return [renamed.get(name, name) for name in convert]


def _names(said: object) -> tuple[str, ...] | None:
    if said is None:
        return None
    return (said,) if isinstance(said, str) else tuple(str(name) for name in said)  # type: ignore[attr-defined]


def _mapping(said: object) -> dict[str, str]:
    return {str(key): str(value) for key, value in said.items()} if isinstance(said, Mapping) else {}
