"""The Kinesis triggers against moto's server: every record of every shard, from where it was settled, shared between copies."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from support.s3 import S3, serve_s3
from support.streams import Collecting, FileBookmarks, driver, make_context, running

from agent.errors import AgentError
from agent.job.stages.actions import kinesis, kinesis_consumer
from agent.job.stages.actions.connecting.holding import Pace
from agent.job.stages.actions.kinesis.trigger import KinesisTrigger

QUICK = Pace(lease=3, keep=0.5, checkpoint=0.1, look=0.2)


@pytest.fixture(scope="module")
def aws() -> Iterator[S3]:
    with serve_s3() as server:
        yield server


class Stream:
    """A stream of its own."""

    def __init__(self, aws: S3, shards: int = 1) -> None:
        self.endpoint = aws.endpoint
        self.client = boto3.client(
            "kinesis",
            endpoint_url=aws.endpoint,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )
        self.name = f"s-{uuid4().hex}"
        self.client.create_stream(StreamName=self.name, ShardCount=shards)
        self.client.get_waiter("stream_exists").wait(StreamName=self.name, WaiterConfig={"Delay": 1})

    def put(self, *records: Any, key: str | None = None) -> None:
        for begin in range(0, len(records), 400):
            entries = [
                {
                    "Data": one if isinstance(one, bytes) else json.dumps(one).encode(),
                    "PartitionKey": key or uuid4().hex,
                }
                for one in records[begin : begin + 400]
            ]
            self.client.put_records(StreamName=self.name, Records=entries)

    def shards(self) -> list[Any]:
        return self.client.list_shards(StreamName=self.name)["Shards"]

    def config(self, **more: object) -> dict[str, Any]:
        keys = {"region": "us-east-1", "access_key": "a", "secret_key": "b", "endpoint": self.endpoint}
        return {"stream": self.name, "cold_start": "trim_horizon", **keys, **more}


async def settle_all(trigger: KinesisTrigger, intake: Collecting) -> None:
    for position in intake.last.values():
        await trigger.settle(position)


async def test_every_record_of_every_shard_comes_in_its_shards_order(aws: S3, tmp_path: Path) -> None:
    stream = Stream(aws, shards=4)
    for key in range(8):
        stream.put(*({"key": key, "n": n} for n in range(150)), key=str(key))
    intake = Collecting()
    async with running(kinesis.make(make_context(tmp_path, "in", stream.config())), intake):
        await intake.until(lambda it: len(it.values) == 1200)
    for key in range(8):
        assert [one["n"] for one in intake.values if one["key"] == key] == list(range(150))
    assert len({position.lane for _, position in intake.batches}) > 1


async def test_what_was_settled_does_not_come_again_and_the_rest_does(aws: S3, tmp_path: Path) -> None:
    stream = Stream(aws)
    stream.put(*range(10))
    first = Collecting()
    trigger = KinesisTrigger(make_context(tmp_path, "in", stream.config()), pace=QUICK)
    async with running(trigger, first):
        await first.until(lambda it: len(it.values) == 10)
        await settle_all(trigger, first)
        stream.put(*range(10, 15))
        await first.until(lambda it: len(it.values) == 15)
    second = Collecting()
    async with running(KinesisTrigger(make_context(tmp_path, "in", stream.config()), pace=QUICK), second):
        await second.until(lambda it: len(it.values) == 5)
    assert second.values == list(range(10, 15))


async def test_latest_begins_with_what_comes_after_the_first_start_also_after_a_crash(
    aws: S3, tmp_path: Path
) -> None:
    stream = Stream(aws)
    stream.put("old")
    began = asyncio.get_running_loop().time()
    while (
        asyncio.get_running_loop().time() < began + 1.1
    ):  # the service's clock, as it tells it, has whole seconds
        await asyncio.sleep(0.1)
    config = stream.config(cold_start="latest")
    trigger = KinesisTrigger(make_context(tmp_path, "in", config), pace=QUICK)
    async with running(trigger, Collecting()):
        while not any(held for _, held in await FileBookmarks(tmp_path).names("kinesis/in/")):
            await asyncio.sleep(0.05)
    stream.put("while nobody ran")  # and nothing was ever settled
    intake = Collecting()
    async with running(KinesisTrigger(make_context(tmp_path, "in", config), pace=QUICK), intake):
        await intake.until(lambda it: it.values)
    assert intake.values == ["while nobody ran"]


async def test_what_is_no_record_is_a_dead_letter_in_its_order_and_the_flow_goes_on(
    aws: S3, tmp_path: Path
) -> None:
    stream = Stream(aws)
    aggregated = b"\xf3\x89\x9a\xc2" + b"x" * 20
    stream.put(1, b"{", b"\xff\xfe", b"NaN", aggregated, json.dumps("x" * 200).encode(), 2, key="k")
    intake = Collecting()
    trigger = KinesisTrigger(make_context(tmp_path, "in", stream.config(most_bytes=100)), pace=QUICK)
    async with running(trigger, intake):
        await intake.until(lambda it: it.values == [1, 2])
        await settle_all(trigger, intake)
    said = [error.what for _, _, error in intake.dead]
    parts = ["no JSON", "no UTF-8", "no JSON", "Producer Library", "202 bytes"]
    assert all(part in text for part, text in zip(parts, said, strict=True)), said
    assert "AggregationEnabled" in said[3]
    assert intake.dead[0][0] == {"bytes": 1, "text": "{"}
    assert all(error.is_final for _, _, error in intake.dead)
    again = Collecting()
    async with running(KinesisTrigger(make_context(tmp_path, "in", stream.config()), pace=QUICK), again):
        stream.put(3)
        await again.until(lambda it: it.values)
    assert again.values == [3]
    assert not again.dead


async def test_bytes_come_as_text_or_base64_where_the_flow_says_so(aws: S3, tmp_path: Path) -> None:
    stream = Stream(aws)
    stream.put("{ö".encode())
    for form, expected in {"text": "{ö", "base64": base64.b64encode("{ö".encode()).decode()}.items():
        intake = Collecting()
        async with running(kinesis.make(make_context(tmp_path, form, stream.config(format=form))), intake):
            await intake.until(lambda it: it.values)
        assert intake.values == [expected]


async def test_two_copies_share_the_shards_and_the_one_left_takes_over_all(aws: S3, tmp_path: Path) -> None:
    stream = Stream(aws, shards=4)
    intakes = [Collecting(), Collecting()]
    marks = FileBookmarks(tmp_path)
    triggers = [KinesisTrigger(make_context(tmp_path, "in", stream.config()), pace=QUICK) for _ in intakes]

    async def until_lanes(*wanted: int) -> None:
        while [len(trigger._lanes) for trigger in triggers[: len(wanted)]] != list(wanted):
            await asyncio.sleep(0.05)

    async with running(triggers[0], intakes[0]):
        await until_lanes(4)
        async with running(triggers[1], intakes[1]):
            await until_lanes(2, 2)  # the first gave back what was the second's share
            stream.put(*range(400))
            while sum(len(it.values) for it in intakes) < 400:
                await asyncio.sleep(0.05)
            assert Counter(intakes[0].values + intakes[1].values) == Counter(range(400))
            await settle_all(triggers[1], intakes[1])
        await until_lanes(4)
        stream.put(*range(400, 500))
        seen = len(intakes[0].values)
        await intakes[0].until(lambda it: len(it.values) == seen + 100)
        assert sum(held for _, held in await marks.names("kinesis/in/")) == 4


async def test_a_copy_whose_bookmark_is_anothers_stops_reading_that_shard(aws: S3, tmp_path: Path) -> None:
    stream = Stream(aws)
    marks, intake, said = FileBookmarks(tmp_path), Collecting(), []
    trigger = KinesisTrigger(make_context(tmp_path, "in", stream.config(), said), pace=QUICK)
    async with running(trigger, intake):
        stream.put(1)
        await intake.until(lambda it: it.values)
        marks._db.execute(
            "UPDATE b SET fence = fence + 1 WHERE name LIKE 'kinesis/in/%'"
        )  # as another's take does
        await trigger.settle(intake.batches[0][1])
        while not said:
            await asyncio.sleep(0.05)
    assert "another copy's by now" in said[0]
    assert marks.value(f"kinesis/in/{stream.shards()[0]['ShardId']}") is None


async def test_a_stream_that_was_made_again_is_read_from_its_beginning(aws: S3, tmp_path: Path) -> None:
    stream = Stream(aws)
    stream.put(*range(3))
    intake = Collecting()
    trigger = KinesisTrigger(make_context(tmp_path, "in", stream.config()), pace=QUICK)
    async with running(trigger, intake):
        await intake.until(lambda it: len(it.values) == 3)
        await settle_all(trigger, intake)
    stream.client.delete_stream(StreamName=stream.name)
    stream.client.create_stream(StreamName=stream.name, ShardCount=1)
    stream.put("new")
    said: list[str] = []
    again = Collecting()
    async with running(
        KinesisTrigger(make_context(tmp_path, "in", stream.config(), said), pace=QUICK), again
    ):
        await again.until(lambda it: it.values)
    assert again.values == ["new"]
    assert "not the one that was read" in said[0]


async def test_a_stream_that_is_not_there_is_an_error_with_what_to_do(aws: S3, tmp_path: Path) -> None:
    config = Stream(aws).config(stream="nowhere")
    trigger = kinesis.make(make_context(tmp_path, "in", config))
    with pytest.raises(AgentError, match="ResourceNotFoundException") as caught:
        await trigger.run(Collecting())
    assert "nowhere" in caught.value.where
    assert caught.value.hint
    await trigger.close()


async def test_an_endpoint_without_fan_out_is_said_and_asked_instead(aws: S3, tmp_path: Path) -> None:
    stream = Stream(aws)
    stream.put(*range(5))
    intake, said = Collecting(), []
    async with running(kinesis_consumer.make(make_context(tmp_path, "in", stream.config(), said)), intake):
        await intake.until(lambda it: len(it.values) == 5)
    assert any("no enhanced fan-out" in line for line in said)
    names = stream.client.list_stream_consumers(
        StreamARN=stream.client.describe_stream(StreamName=stream.name)["StreamDescription"]["StreamARN"]
    )
    assert [one["ConsumerName"] for one in names["Consumers"]] == ["jumpwire"]


def test_a_killed_consumer_brings_again_only_what_was_not_settled(aws: S3, tmp_path: Path) -> None:
    stream = Stream(aws)
    stream.put(*range(20))
    shard = stream.shards()[0]["ShardId"]
    marks = FileBookmarks(tmp_path)
    with driver("kinesis", stream.config(), tmp_path, "20") as first:
        first.read_until(lambda it: len(it.settled) == 20)
        stream.put(*range(20, 30))
        first.read_until(lambda it: len(it.got) == 30)
        while not marks.value(f"kinesis/in/{shard}"):  # the checkpoint
            pass
        first.kill()
    marks._db.execute("UPDATE b SET until = 0")  # its lease is over
    with driver("kinesis", stream.config(), tmp_path, "20") as second:
        stream.put(30)
        second.read_until(lambda it: 30 in it.got)
    assert second.got == list(range(20, 31))


async def test_a_service_that_is_away_is_waited_for(tmp_path: Path) -> None:
    said: list[str] = []
    with serve_s3() as aws:
        stream = Stream(aws)
        config = stream.config()
    trigger = KinesisTrigger(make_context(tmp_path, "in", config, said), pace=QUICK)
    async with running(trigger, Collecting()) as task:
        while not said:
            await asyncio.sleep(0.05)
        assert not task.done()
    assert "no answer from" in said[0]
