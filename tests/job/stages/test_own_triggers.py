"""Triggers that the machine has by itself: datagrams, and the clock."""

import asyncio
import contextlib
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from support.stages import Bench, Received, make_bench

from agent.errors import AgentError
from agent.job.stages.actions import alone, cron, udp
from agent.job.stages.stage import MakeStage, StreamPosition, TriggerStage, Value


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path)


class Watched(Received):
    """An intake of which one can wait for so many records or failures."""

    def __init__(self) -> None:
        super().__init__()
        self.came = asyncio.Condition()
        self.gate = asyncio.Event()
        self.gate.set()

    async def emit(self, values: list[Value], position: StreamPosition) -> None:
        await self.gate.wait()
        await super().emit(values, position)
        async with self.came:
            self.came.notify_all()

    async def wait_for(self, count: int) -> None:
        async with self.came:
            await self.came.wait_for(lambda: len(self.values) >= count)


@contextlib.asynccontextmanager
async def running(trigger: TriggerStage, intake: Received) -> AsyncIterator["asyncio.Task[None]"]:
    """A trigger that brings records until the end of the block."""
    task = asyncio.create_task(trigger.run(intake))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, AgentError):
            await task


def make_trigger(bench: Bench, make: MakeStage, config: dict[str, object]) -> TriggerStage:
    return make(bench.context(config))  # type: ignore[return-value]


async def find_port(bench: Bench) -> int:
    """Where the trigger says that it listens."""
    while not (found := re.search(r"port (\d+)", bench.log)):
        await asyncio.sleep(0)
    return int(found[1])


def send(port: int, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram in datagrams:
            sender.sendto(datagram, ("127.0.0.1", port))


LOCAL: dict[str, object] = {"port": 0, "address": "127.0.0.1"}


async def test_each_datagram_is_a_record_and_what_is_no_json_a_dead_letter(bench: Bench) -> None:
    intake = Watched()
    async with running(make_trigger(bench, udp.make, LOCAL), intake):
        port = await find_port(bench)
        send(port, b'{"a": 1}', b"[2]", b"not json", b"NaN", b"\xff", b"", b"3", b'"' + b"x" * 60_000 + b'"')
        await intake.wait_for(4)
    assert intake.values == [{"a": 1}, [2], 3, "x" * 60_000]
    assert [raw for raw, _position, _error in intake.failed] == ["not json", "NaN", "\ufffd", ""]
    assert all(error.is_final for _raw, _position, error in intake.failed)
    assert str(intake.failed[0][2]).startswith("the datagram is no JSON")
    positions = [position.at for _values, position in intake.batches]
    assert positions[-1] == 8


@pytest.mark.parametrize(("name", "value"), [("text", "caf\ufffd"), ("base64", "Y2Fm/w==")])
async def test_a_datagram_may_be_text_or_bytes(bench: Bench, name: str, value: str) -> None:
    intake = Watched()
    async with running(make_trigger(bench, udp.make, {**LOCAL, "format": name}), intake):
        send(await find_port(bench), b"caf\xff")
        await intake.wait_for(1)
    assert intake.values == [value]


async def test_what_the_kernel_drops_while_the_flow_is_full_is_counted_and_said(bench: Bench) -> None:
    intake = Watched()
    intake.gate.clear()
    datagram = json.dumps("x" * 8000).encode()
    async with running(make_trigger(bench, udp.make, LOCAL), intake):
        port = await find_port(bench)
        send(port, *[datagram] * 4000)
        intake.gate.set()
        send(port, b'"last"')
        while "datagrams were lost" not in bench.log:
            send(port, b'"again"')
            await asyncio.sleep(0)
    (lost,) = re.findall(r"(\d+) datagrams were lost", bench.log)
    large = sum(len(str(value)) == 8000 for value in intake.values)
    assert 0 < int(lost) <= 4001 - large + intake.values.count("again")


async def test_a_port_that_is_taken_is_said(bench: Bench) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        trigger = make_trigger(bench, udp.make, {**LOCAL, "port": port})
        with pytest.raises(
            AgentError, match=f"the port {port} at 127.0.0.1 can't be listened at: Address already"
        ):
            await trigger.run(Received())
    assert bench.bookmarks.held == {}


@pytest.mark.parametrize(
    "config", [{}, {"port": "5140"}, {"port": 70_000}, {"port": True}, {"port": 1, "format": "xml"}]
)
def test_a_port_that_is_none_is_refused(bench: Bench, config: dict[str, object]) -> None:
    with pytest.raises(AgentError):
        udp.make(bench.context(config))


async def test_a_trigger_that_another_job_has_waits_for_it_and_ends_when_it_is_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alone, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(alone, "_KEEP_SECONDS", 0.01)
    other = await bench.bookmarks.take("alone/work", 30)
    assert other is not None
    async with running(make_trigger(bench, udp.make, LOCAL), Received()) as task:
        while "another job of this flow has this trigger" not in bench.log:
            await asyncio.sleep(0)
        assert "listens" not in bench.log
        await bench.bookmarks.free(other)
        port = await find_port(bench)
        bench.bookmarks.lost.add("alone/work")
        with pytest.raises(AgentError, match="has taken this trigger over"):
            await task
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", port))


BERLIN = ZoneInfo("Europe/Berlin")


def moment(year: int, month: int, day: int, hour: int, minute: int, second: int = 0) -> float:
    return datetime(year, month, day, hour, minute, second, tzinfo=BERLIN).timestamp()


async def test_a_schedule_brings_a_record_at_its_time_and_remembers_it_once_it_has_ended(
    bench: Bench,
) -> None:
    bench.now = moment(2026, 3, 2, 6, 59, 59)
    intake = Watched()
    config: dict[str, object] = {
        "schedule": ["0 7 * * *", "30 7 * * *"],
        "time_zone": "Europe/Berlin",
        "data": {"kind": "daily"},
    }
    trigger = make_trigger(bench, cron.make, config)
    async with running(trigger, intake):
        while "alone/work" not in bench.bookmarks.values:
            await asyncio.sleep(0)
        assert bench.bookmarks.values == {"alone/work": bench.now}
        bench.now = moment(2026, 3, 2, 7, 0)
        await intake.wait_for(1)
        assert bench.bookmarks.values != {"alone/work": bench.now}
        await trigger.settle(intake.batches[0][1])
    assert intake.values == [{"time": "2026-03-02T07:00:00+01:00", "kind": "daily"}]
    assert bench.bookmarks.values == {"alone/work": bench.now}


async def test_after_a_standstill_the_last_time_that_was_missed_is_made_up_for_and_no_other(
    bench: Bench,
) -> None:
    bench.bookmarks.values["alone/work"] = moment(2026, 3, 2, 7, 0)
    bench.now = moment(2026, 3, 9, 9, 30)
    intake = Watched()
    trigger = make_trigger(bench, cron.make, {"schedule": "0 7 * * *", "time_zone": "Europe/Berlin"})
    async with running(trigger, intake):
        await intake.wait_for(1)
        await trigger.settle(intake.batches[0][1])
    assert intake.values == [{"time": "2026-03-09T07:00:00+01:00"}]
    assert "2026-03-09T07:00:00+01:00 was missed, and is made up for" in bench.log


async def test_what_ended_is_brought_by_no_restart_and_what_did_not_is_brought_again(bench: Bench) -> None:
    bench.bookmarks.values["alone/work"] = moment(2026, 3, 2, 7, 0)
    bench.now = moment(2026, 3, 3, 7, 0)
    config: dict[str, object] = {"schedule": "0 7 * * *", "time_zone": "Europe/Berlin"}
    lost, again, third = Watched(), Watched(), Watched()
    async with running(make_trigger(bench, cron.make, config), lost):
        await lost.wait_for(1)
    trigger = make_trigger(bench, cron.make, config)
    async with running(trigger, again):
        await again.wait_for(1)
    assert again.values == lost.values
    await trigger.settle(again.batches[0][1])  # the flow has ended what was on its way, after its trigger
    async with running(make_trigger(bench, cron.make, config), third) as task:
        while "alone/work" not in bench.bookmarks.held:
            await asyncio.sleep(0)
        bench.now = moment(2026, 3, 4, 7, 0)
        await asyncio.wait({task}, timeout=0)
        await third.wait_for(1)
    assert third.values == [{"time": "2026-03-04T07:00:00+01:00"}]


async def test_the_machines_own_clock_is_the_one_that_counts(bench: Bench) -> None:
    shift = 59.5 - time.time() % 60
    intake = Watched()
    context = bench.context({"schedule": "* * * * *"})
    object.__setattr__(context, "now", lambda: time.time() + shift)
    async with running(cron.make(context), intake):
        await intake.wait_for(1)
    assert len(intake.values) == 1


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "'None' is no cron expression"),
        ({"schedule": "every day"}, "'every day' is no cron expression"),
        ({"schedule": ["0 7 * * *", "0 0 30 2 *"]}, "'0 0 30 2 *' never comes"),
        ({"schedule": "0 7 * * *", "time_zone": "Mars/Base"}, "there is no time zone 'Mars/Base'"),
        ({"schedule": "0 7 * * *", "time_zone": "../etc/passwd"}, "there is no time zone"),
        ({"schedule": "0 7 * * *", "data": [1]}, "`data` is a mapping"),
    ],
)
def test_a_schedule_that_can_not_be_is_refused(bench: Bench, config: dict[str, object], said: str) -> None:
    with pytest.raises(AgentError) as caught:
        cron.make(bench.context(config))
    assert said in str(caught.value)
