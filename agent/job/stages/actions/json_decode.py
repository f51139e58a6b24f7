"""`json_decode`: a text (or `{"base64": ...}`, bytes that came in) becomes the JSON that it is; what is JSON already stays."""

import base64
import binascii
from collections.abc import Sequence

from agent.job.stages.actions.pure import PureStage, need_object
from agent.job.stages.json_lines import load
from agent.job.stages.stage import Done, StageContext, StageError, Value


def make(context: StageContext) -> PureStage:
    """Decodes a record, or one of its fields."""
    said = context.config.get("field")
    field = None if said is None else str(said)

    def work(batch: Sequence[Value]) -> Done:
        if field is None:
            return Done([_decode(value, "the record") for value in batch])
        return Done([_decode_field(need_object(value), field) for value in batch])

    return PureStage(work)


def _decode_field(record: dict[str, object], field: str) -> Value:
    if field not in record:
        raise StageError(f"the record has no field '{field}'", is_final=True)
    return {**record, field: _decode(record[field], f"field '{field}'")}


def _decode(value: Value, what: str) -> Value:
    text: str | bytes
    if isinstance(value, str):
        text = value
    elif isinstance(value, dict) and len(value) == 1 and isinstance(value.get("base64"), str):
        try:
            text = base64.b64decode(value["base64"], validate=True)
        except binascii.Error as error:
            raise StageError(f"{what} is no base64: {error}", is_final=True) from None
    else:
        return value
    try:
        return load(text)
    except ValueError as error:
        raise StageError(f"{what} is no JSON: {error}", is_final=True) from None
