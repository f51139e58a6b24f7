"""Stages that take lists apart and put objects together: `map` (or `flatten`), `merge_data`, `reduce`."""

from collections.abc import Mapping, Sequence

from agent.errors import AgentError
from agent.job.stages.actions.pure import PureStage, describe, each, need_object
from agent.job.stages.stage import Done, StageContext, StageError, Value


def make_map(context: StageContext) -> PureStage:
    """Each item of a list is a record from now on. With `keep` the other fields of its record go with it."""
    said, keeps = context.config.get("field"), context.config.get("keep") is True
    field = None if said is None else str(said)

    def items(value: Value) -> Sequence[Value]:
        found = value if field is None else need_object(value).get(field)
        if not isinstance(found, list):
            what = "the record" if field is None else f"field '{field}'"
            raise StageError(f"{what} is {describe(found)}, no list", is_final=True)
        if keeps and field is not None and isinstance(value, dict):
            return [{**value, field: item} for item in found]
        return found

    def work(batch: Sequence[Value]) -> Done:
        lists = [items(value) for value in batch]
        values = [item for found in lists for item in found]
        return Done(values, [place for place, found in enumerate(lists) for _ in found])

    return PureStage(work)


def make_merge_data(context: StageContext) -> PureStage:
    """Fields of `data` are put into each record; they win."""
    data = context.config["data"]
    if not isinstance(data, Mapping):
        raise AgentError("`data` is no mapping", where=context.name)
    added = dict(data)

    def work(batch: Sequence[Value]) -> Done:
        try:
            return Done([{**value, **added} for value in batch])  # type: ignore[dict-item]
        except TypeError:
            return Done([{**need_object(value), **added} for value in batch])

    return PureStage(work)


def make_reduce(context: StageContext) -> PureStage:
    """A list of objects becomes one: of fields that several have, the last one's stays.

    With `concat_field` all values of that field stay: lists one after the other, other values as items, in one list.
    """
    said = context.config.get("concat_field")
    field = None if said is None else str(said)

    def change(value: Value) -> Value:
        if not isinstance(value, list):
            raise StageError(f"the record is {describe(value)}, no list", is_final=True)
        merged: dict[str, object] = {}
        gathered: list[object] = []
        for item in value:
            found = need_object(item)
            merged.update(found)
            if field is not None and field in found:
                part = found[field]
                gathered += part if isinstance(part, list) else [part]
        if field is not None:
            merged[field] = gathered
        return merged

    return each(change)
