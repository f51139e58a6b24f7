"""What the triggers of streams share: missing libraries, addresses, the order of what is handed on, receipts, held bookmarks."""

import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.streams import Collecting, FileBookmarks, make_context

from agent.errors import AgentError
from agent.job.stages.actions.connecting.bodies import read_body
from agent.job.stages.actions.connecting.flight import Flight
from agent.job.stages.actions.connecting.handing import Come, hand_on
from agent.job.stages.actions.connecting.holding import Holder, Pace
from agent.job.stages.actions.table import find_make
from agent.job.stages.stage import StageError, StreamPosition

CONFIGS = {
    "kinesis": {"stream": "s", "cold_start": "latest", "region": "r"},
    "kinesis_consumer": {"stream": "s", "cold_start": "latest", "region": "r"},
    "put_kinesis": {"stream": "s", "region": "r"},
    "postgresql": {"url": "postgresql://h/d"},
    "nats": {"url": "nats://h", "stream": "s"},
    "redis": {"url": "redis://h", "stream": "s"},
}
LIBRARIES = {
    "kinesis": "botocore",
    "kinesis_consumer": "botocore",
    "put_kinesis": "botocore",
    "postgresql": "psycopg",
}


@pytest.mark.parametrize("action", CONFIGS)
def test_a_missing_library_is_told_with_the_command_that_installs_it(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = LIBRARIES.get(action, action)
    for name in [library, *(name for name in sys.modules if name.startswith(f"{library}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(AgentError, match=f"the stage 'in' needs the Python package '{library}") as caught:
        find_make(action)(make_context(tmp_path, "in", CONFIGS[action]))
    assert sys.executable in caught.value.hint


@pytest.mark.parametrize("action", ["postgresql", "nats", "redis"])
@pytest.mark.parametrize(
    "address", ["", "host:1", "ftp://user:secret@host", "[", "redis://h:x", "nats://h:x"]
)
def test_an_address_that_is_none_is_told_without_showing_it(
    action: str, address: str, tmp_path: Path
) -> None:
    with pytest.raises(AgentError, match="is no address that begins with") as caught:
        find_make(action)(make_context(tmp_path, "in", {**CONFIGS[action], "url": address}))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "part"),
    [(b"\xff", "no UTF-8"), (b"", "no JSON"), (b"NaN", "no JSON"), (b'"\\ud800"', "no JSON"), (b"[" * 200_000, "no JSON"), (b"1" * 20, "20 bytes")],
)  # fmt: skip
def test_bytes_that_are_no_record_are_a_final_error(data: bytes, part: str) -> None:
    with pytest.raises(StageError, match=part) as caught:
        read_body(data, "json", 10 if len(data) == 20 else 1 << 20)
    assert caught.value.is_final


@given(st.lists(st.booleans(), max_size=30))
def test_what_is_handed_on_keeps_its_order(oks: list[bool]) -> None:
    order: list[int] = []
    intake = Collecting(on_batch=lambda values, _position: order.extend(values))  # type: ignore[arg-type]
    intake.fail = lambda raw, _position, _error: order.append(raw)  # type: ignore[method-assign,assignment,arg-type,return-value]
    error = StageError("no")
    come = [Come(n, StreamPosition("", n), None if ok else error) for n, ok in enumerate(oks)]
    asyncio.run(hand_on(intake, come))
    assert order == list(range(len(oks)))
    for values, position in intake.batches:
        assert position.at == values[-1]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 40)), max_size=60))
def test_a_record_is_given_once_and_told_once_it_has_settled(steps: list[tuple[int, int]]) -> None:
    flight: Flight[int, str] = Flight()
    numbers: dict[int, int] = {}
    settled = 0
    for step, (key, number) in enumerate(steps):
        for given_key, given_number in flight.add([(key, f"receipt {step}")]):
            assert given_key not in numbers
            numbers[given_key] = given_number
        flight.settle(number)
        settled = max(settled, min(number, len(numbers)))
        untold = dict(flight.untold())
        assert all(numbers[one] <= settled for one in untold)
        assert {one for one, _ in flight.on_way()} == {one for one, at in numbers.items() if at > settled}
        if key in untold:
            assert untold[key] == f"receipt {step}"  # the newest
        flight.told(list(untold))
        assert not flight.untold()


async def test_a_bookmark_that_cannot_be_kept_for_its_time_is_lost(tmp_path: Path) -> None:
    marks = FileBookmarks(tmp_path)
    holder = Holder(marks, Pace(lease=0.5, keep=0.1, checkpoint=0.05))
    lost = asyncio.Event()
    held = await holder.take("a", lost.set)
    assert held is not None
    held.value = 1
    while marks.value("a") != 1:
        await asyncio.sleep(0.02)

    async def away(*_arguments: object) -> bool:
        raise AgentError("the server is away")

    marks.keep = marks.put = away  # type: ignore[method-assign,assignment]
    await lost.wait()
    assert held.is_lost
    await holder.close()
