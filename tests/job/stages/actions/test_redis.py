"""Redis streams from a real server: every entry once it is there, and again only what was not settled."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis
from support.brokers import Broker, run_redis
from support.streams import Collecting, FileBookmarks, driver, make_context, running

from agent.errors import AgentError
from agent.job.stages.actions import redis
from agent.job.stages.actions.connecting.holding import Pace
from agent.job.stages.actions.redis.trigger import RedisTrigger

QUICK = Pace(lease=3, keep=0.5, checkpoint=0.1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with run_redis(tmp_path_factory.mktemp("redis")) as broker:
        yield broker


class Stream:
    """A stream of its own."""

    def __init__(self, server: Broker) -> None:
        self.url = f"redis://127.0.0.1:{server.port}"
        self.client = Redis(port=server.port, protocol=2)
        self.name = f"s{uuid4().hex}"

    def put(self, *records: Any) -> None:
        with self.client.pipeline() as pipe:
            for one in records:
                pipe.xadd(self.name, {"n": one if isinstance(one, bytes) else json.dumps(one)})
            pipe.execute()

    def config(self, **more: object) -> dict[str, Any]:
        return {"url": self.url, "stream": self.name, "field": "n", **more}

    def pending(self) -> int:
        return sum(one["pending"] for one in self.client.xinfo_groups(self.name))


@pytest.fixture
def stream(server: Broker) -> Iterator[Stream]:
    found = Stream(server)
    yield found
    found.client.close()


async def test_entries_come_in_order_and_settled_ones_are_acknowledged(
    stream: Stream, tmp_path: Path
) -> None:
    stream.put(*range(1200))
    intake = Collecting()
    trigger = redis.make(make_context(tmp_path, "in", stream.config()))
    async with running(trigger, intake):
        await intake.until(lambda it: len(it.values) == 1200)
        assert intake.values == list(range(1200))
        await trigger.settle(intake.batches[-1][1])
        assert stream.pending() == 0
    stream.put("after")
    again = Collecting()
    async with running(redis.make(make_context(tmp_path, "in", stream.config())), again):
        await again.until(lambda it: it.values)
    assert again.values == ["after"]


async def test_an_entry_is_its_fields_where_none_is_named(stream: Stream, tmp_path: Path) -> None:
    stream.client.xadd(stream.name, {"a": "1", "b": "ö"})
    stream.client.xadd(stream.name, {"a": b"\xff"})
    intake = Collecting()
    async with running(redis.make(make_context(tmp_path, "in", stream.config(field=""))), intake):
        await intake.until(lambda it: it.values and it.dead)
    assert intake.values == [{"a": "1", "b": "ö"}]
    assert "no UTF-8" in intake.dead[0][2].what


async def test_latest_begins_with_what_comes_after_the_first_start(stream: Stream, tmp_path: Path) -> None:
    stream.put("old")
    intake, said = Collecting(), []
    async with running(
        redis.make(make_context(tmp_path, "in", stream.config(cold_start="latest"), said)), intake
    ):
        while not said:
            await asyncio.sleep(0.02)
        stream.put("new")
        await intake.until(lambda it: it.values)
    assert intake.values == ["new"]


async def test_two_copies_share_a_stream_and_the_one_left_claims_what_the_other_had(
    stream: Stream, tmp_path: Path
) -> None:
    intakes = [Collecting(), Collecting()]
    first, second = (RedisTrigger(make_context(tmp_path, "in", stream.config()), QUICK, 0.6) for _ in intakes)
    async with running(first, intakes[0]):
        async with running(second, intakes[1]):
            while not all(it.values for it in intakes):
                stream.put("x")
                await asyncio.sleep(0.01)
        total = stream.client.xlen(stream.name)
        theirs = len(intakes[1].values)
        await intakes[0].until(lambda it: len(it.values) == total)  # the second settled none of its own
        assert theirs
        await first.settle(intakes[0].last[""])
        assert stream.pending() == 0


async def test_what_is_long_on_its_way_is_claimed_by_nobody(stream: Stream, tmp_path: Path) -> None:
    stream.put("slow")
    intakes = [Collecting(), Collecting()]
    first, second = (RedisTrigger(make_context(tmp_path, "in", stream.config()), QUICK, 0.6) for _ in intakes)
    async with running(first, intakes[0]):
        await intakes[0].until(lambda it: it.values)
        async with running(second, intakes[1]):
            stream.put(*range(20))
            began = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < began + 3:  # five times what counts as dead
                await asyncio.sleep(0.1)
        both = intakes[0].values + intakes[1].values
    assert sorted(map(str, both)) == sorted(["slow", *map(str, range(20))])


async def test_entries_that_were_removed_are_told(stream: Stream, tmp_path: Path) -> None:
    stream.put(*range(3))
    intake = Collecting()
    async with running(RedisTrigger(make_context(tmp_path, "in", stream.config()), QUICK), intake):
        await intake.until(lambda it: len(it.values) == 3)
    stream.put(*range(3, 10))
    stream.client.xtrim(stream.name, maxlen=2, approximate=False)
    said: list[str] = []
    intake = Collecting()
    trigger = RedisTrigger(make_context(tmp_path, "in", stream.config(), said), QUICK)
    async with running(trigger, intake):
        await intake.until(lambda it: len(it.values) == 2)
        await trigger.settle(intake.last[""])
    assert "3 entries were removed" in said[0]
    assert "after they were given" in said[0]
    assert "5 entries were removed" in said[1]
    assert "before they were read" in said[1]
    assert stream.pending() == 0


async def test_what_is_no_record_is_a_dead_letter_in_its_order(stream: Stream, tmp_path: Path) -> None:
    stream.put(1, b"{", "x" * 200)
    stream.client.xadd(stream.name, {"other": "1"})
    stream.put(2)
    intake = Collecting()
    async with running(redis.make(make_context(tmp_path, "in", stream.config(most_bytes=100))), intake):
        await intake.until(lambda it: it.values == [1, 2])
    said = [error.what for _, _, error in intake.dead]
    assert [position.at for _, position, _ in intake.dead] == [2, 3, 4]
    assert "no field 'n'" in said[2]


def test_a_killed_consumer_brings_again_only_what_was_not_settled(stream: Stream, tmp_path: Path) -> None:
    stream.put(*range(5))
    with driver("redis", stream.config(), tmp_path, "5") as first:
        first.read_until(lambda it: len(it.settled) == 5)
        stream.put(*range(5, 8))
        first.read_until(lambda it: len(it.got) == 8)
        first.kill()
    FileBookmarks(tmp_path)._db.execute("UPDATE b SET until = 0")  # its lease is over
    with driver("redis", stream.config(), tmp_path, "0") as second:
        second.read_until(lambda it: len(it.got) == 3)
    assert second.got == [5, 6, 7]


async def test_a_server_that_is_killed_is_waited_for_and_nothing_settled_comes_again(tmp_path: Path) -> None:
    with run_redis(tmp_path) as server:
        stream = Stream(server)
        stream.put(1, 2)
        intake, said = Collecting(), []
        trigger = RedisTrigger(make_context(tmp_path, "in", stream.config(), said), QUICK)
        async with running(trigger, intake):
            await intake.until(lambda it: len(it.values) == 2)
            server.kill()
            await trigger.settle(intake.last[""])  # while nobody can be told
            while not any(line.startswith("Redis: ") for line in said):
                await asyncio.sleep(0.05)
            await asyncio.to_thread(server.start)
            stream.put(3)
            await intake.until(lambda it: len(it.values) == 3)
            await trigger.settle(intake.last[""])
            while stream.pending():
                await asyncio.sleep(0.05)
        assert intake.values == [1, 2, 3]
        assert "it answers again" in said
        stream.client.close()


async def test_a_server_that_forgot_the_stream_is_told_and_goes_on(tmp_path: Path) -> None:
    with run_redis(tmp_path, keeps=False) as server:
        stream = Stream(server)
        stream.put(1)
        intake, said = Collecting(), []
        async with running(RedisTrigger(make_context(tmp_path, "in", stream.config(), said), QUICK), intake):
            await intake.until(lambda it: it.values)
            server.kill()
            await asyncio.to_thread(server.start)
            while not any("is gone, with all that was in it" in line for line in said):
                await asyncio.sleep(0.05)
            stream.put(2)
            await intake.until(lambda it: len(it.values) == 2)
        assert intake.values == [1, 2]
        stream.client.close()


async def test_a_group_that_is_gone_is_told_and_not_made_anew(stream: Stream, tmp_path: Path) -> None:
    stream.put(1)
    intake, said = Collecting(), []
    async with running(redis.make(make_context(tmp_path, "in", stream.config(), said)), intake):
        await intake.until(lambda it: it.values)
    stream.client.xgroup_destroy(stream.name, said[0].split("'")[1])
    trigger = redis.make(make_context(tmp_path, "in", stream.config()))
    with pytest.raises(AgentError, match="is gone") as caught:
        await trigger.run(Collecting())
    assert "XGROUP CREATE" in caught.value.hint
    await trigger.close()


async def test_a_key_that_is_no_stream_is_an_error(stream: Stream, tmp_path: Path) -> None:
    stream.client.set(stream.name, "x")
    trigger = redis.make(make_context(tmp_path, "in", stream.config()))
    with pytest.raises(AgentError, match="WRONGTYPE"):
        await trigger.run(Collecting())
    await trigger.close()
