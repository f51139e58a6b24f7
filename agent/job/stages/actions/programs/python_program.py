"""The program around a Python code stage: reads frames of records, asks the stage's function, writes frames of answers.

It is run as a file by the Python that the stage was given, isolated, and knows nothing of the agent. Records come on file 4, answers go
to file 3 (`agent.job.stages.actions.programs.speech` has the frames); what the code prints is the stage's log.

    python_program.py FILE FOLDER NAME     the code, the folder that it imports from, and what it is called in errors
"""

import importlib.util
import inspect
import json
import os
import struct
import sys
import traceback
from collections.abc import Callable, Iterator
from itertools import islice
from time import monotonic
from types import ModuleType
from typing import Any, BinaryIO

IN, OUT = 4, 3
MOST_BYTES = 16 << 20  # of what comes of one record
MOST_VALUES = 100_000
FLUSH_SECONDS = 0.05  # so that a slow record holds up no answer before it
FLUSH_RECORDS = 256
SHOWN_FRAMES = 3
HEAD = struct.Struct("!I")


names: dict[str, str] = {}  # of files, in errors


def main(file: str, folder: str, name: str) -> None:
    """Load the code, say that it is ready, and answer until there are no more records."""
    for number in (IN, OUT):
        os.set_inheritable(number, False)
    source, sink = open(IN, "rb"), open(OUT, "wb", buffering=0)  # noqa: SIM115 - open already
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    sys.path.insert(0, folder)
    names[file] = name
    try:
        answer = find_answerer(load(file))
    except BaseException as error:  # noqa: BLE001 - whatever the code does while it is loaded
        write(sink, json.dumps({"refused": describe(error)}).encode())
        return
    write(sink, b'{"ready":true}')
    outbox = Outbox(sink)
    while head := source.read(HEAD.size):
        records = json.loads(source.read(HEAD.unpack(head)[0]))
        outbox.flush()
        answer(records, outbox)
        outbox.flush()


def load(file: str) -> ModuleType:
    """The module that the code is; known as `stage`, so that what it defines can be pickled."""
    spec = importlib.util.spec_from_file_location("stage", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["stage"] = module
    spec.loader.exec_module(module)
    return module


class Outbox:
    """Answers on their way: handed over in time, so that whoever waits knows how far it came."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._held: list[Any] = []
        self._since = monotonic()

    def add(self, answer: Any) -> None:
        """The next record's."""
        self._held.append(answer)
        if len(self._held) >= FLUSH_RECORDS or monotonic() - self._since > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Hand over those that are held."""
        if self._held:
            write(self._sink, dump(self._held))
            self._held = []
        self._since = monotonic()


Answerer = Callable[[list[Any], Outbox], None]


def find_answerer(module: ModuleType) -> Answerer:
    """Who answers a list of records: made of the function that the code defines."""
    together, each = getattr(module, "handle_batch", None), getattr(module, "handle", None)
    if callable(together):
        return lambda records, outbox: answer_together(together, records, outbox)
    if not callable(each):
        raise TypeError("the code defines no function `handle(record)` (or `handle_batch(records)`)")
    if not inspect.iscoroutinefunction(each) and not inspect.isasyncgenfunction(each):
        return lambda records, outbox: answer_each(each, records, outbox)
    import asyncio

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return lambda records, outbox: loop.run_until_complete(answer_async(each, records, outbox))


def answer_each(handle: Callable[[Any], Any], records: list[Any], outbox: Outbox) -> None:
    """One after the other."""
    for record in records:
        try:
            answer: Any = unfold(handle(record))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this record's failure
            answer = fail(error)
        outbox.add(answer)


async def answer_async(handle: Callable[[Any], Any], records: list[Any], outbox: Outbox) -> None:
    """The same, of a function that is awaited."""
    for record in records:
        try:
            given = handle(record)
            is_many = hasattr(given, "__aiter__")
            answer: Any = check_count([value async for value in given]) if is_many else unfold(await given)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this record's failure
            answer = fail(error)
        outbox.add(answer)


def answer_together(handle: Callable[[list[Any]], Any], records: list[Any], outbox: Outbox) -> None:
    """All at once; what is thrown is the failure of each."""
    try:
        answers: list[Any] = [unfold(value) for value in handle(records)]
    except Exception as error:  # noqa: BLE001 - whatever it is, it is these records' failure
        answers = [fail(error)] * len(records)
    if len(answers) != len(records):
        wrong = ValueError(f"handle_batch gave {len(answers)} answers for {len(records)} records")
        answers = [fail(wrong)] * len(records)
    for answer in answers:
        outbox.add(answer)


def unfold(given: Any) -> list[Any]:
    """The values that a record's answer means."""
    if type(given) is dict:
        return [given]
    if given is None:
        return []
    if isinstance(given, (list, tuple)):
        return check_count(list(given))
    if isinstance(given, Iterator):
        return check_count(list(islice(given, MOST_VALUES + 1)))
    return [given]


def check_count(values: list[Any]) -> list[Any]:
    """Raise ValueError when there are too many."""
    if len(values) > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES} values came of one record")
    return values


def dump(answers: list[Any]) -> bytes:
    """The answers as JSON; each that has no such form becomes a failure."""
    try:
        data = encode(answers)
        if len(data) <= MOST_BYTES:
            return data
    except (TypeError, ValueError, RecursionError):
        pass
    return b"[" + b",".join(map(dump_one, answers)) + b"]"


def dump_one(answer: Any) -> bytes:
    """One answer as JSON."""
    try:
        data = encode(answer)
    except (TypeError, ValueError, RecursionError) as error:
        return encode({"error": f"what the code gave is no JSON: {error}", "final": False})
    if len(data) > MOST_BYTES:
        return encode({"error": f"what the code gave is larger than {MOST_BYTES >> 20} MiB", "final": True})
    return data


def encode(value: Any) -> bytes:
    """JSON as its standard has it: no NaN."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False, default=simplify).encode("ascii")


def simplify(value: Any) -> Any:
    """Numbers and arrays of NumPy, and what is like them, as plain ones."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def fail(error: BaseException) -> dict[str, Any]:
    """What was thrown, as an answer. An exception with a true attribute `final` is not tried again."""
    return {"error": describe(error), "final": bool(getattr(error, "final", False))}


def describe(error: BaseException) -> str:
    """What was thrown, and the last of the places that it came through, of the code's own."""
    is_syntax = isinstance(error, SyntaxError)
    what = [f"{type(error).__name__}: {error}"] if is_syntax else traceback.format_exception_only(error)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    own = [frame for frame in own if not frame.filename.startswith("<frozen ")][-SHOWN_FRAMES:]
    for frame in own:
        frame.filename = names.get(frame.filename, frame.filename)
    return "\n".join(line.rstrip() for line in [*what, *traceback.format_list(own)])


def write(sink: BinaryIO, data: bytes) -> None:
    """A frame."""
    rest = memoryview(HEAD.pack(len(data)) + data)
    while rest:
        rest = rest[sink.write(rest) :]


if __name__ == "__main__":
    main(*sys.argv[1:])
