"""Journal records as the JSON that viewers get; the same words as `agent flow run --format json` prints."""

from collections.abc import Callable
from typing import assert_never

from agent.journal.format import Annotation, Closed, Log, Opened, Record, StepChanged, Summary
from agent.spec import codec


def record_json(record: Record, job: str, decode: Callable[[int, bytes], str]) -> dict[str, object]:
    """`record` of `job`; `decode` turns the output bytes of a step into text. Times are milliseconds of the epoch."""
    match record:
        case Opened():
            return {
                "kind": "opened",
                "job": job,
                "lease": record.lease,
                "time": record.time_ms,
                "machine": record.machine,
            }
        case Log():
            text = decode(record.step, record.data)
            return {"kind": "log", "job": job, "step": record.step, "time": record.time_ms, "text": text}
        case StepChanged():
            return {"kind": "step", "job": job, "time": record.time_ms, **_fields(record, without="time_ms")}
        case Annotation():
            return {"kind": "annotation", "job": job, **_fields(record)}
        case Summary():
            return {"kind": "summary", "job": job, **_fields(record)}
        case Closed():
            return {"kind": "job", "job": job, "time": record.time_ms, **_fields(record.result)}
        case _:
            assert_never(record)


def _fields(value: object, without: str = "") -> dict[str, object]:
    data: dict[str, object] = codec.to_json(value)
    data.pop(without, None)
    return data
