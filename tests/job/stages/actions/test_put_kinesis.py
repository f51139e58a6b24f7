"""Putting records: into moto's stream as they are, and through refusals in the order of their keys."""

import asyncio
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import boto3
from support.kinesis import FakeKinesis, serve_fake
from support.s3 import serve_s3
from support.streams import make_context

from agent.job.stages.actions import put_kinesis
from agent.job.stages.stage import Done


async def put(folder: Path, endpoint: str, batch: list[Any], **more: object) -> Done:
    config = {"stream": "s", "endpoint": endpoint, "access_key": "a", "secret_key": "b", **more}
    stage = put_kinesis.make(make_context(folder, "out", config))
    await stage.open()
    try:
        return await stage.work(batch)
    finally:
        await stage.close()


async def test_records_are_in_the_stream_and_are_handed_on_as_they_came(tmp_path: Path) -> None:
    with serve_s3() as aws:
        client = boto3.client(
            "kinesis",
            endpoint_url=aws.endpoint,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )
        client.create_stream(StreamName="s", ShardCount=1)
        batch = [{"n": n, "text": "ö"} for n in range(1200)]
        done = await put(tmp_path, aws.endpoint, batch)
        shard = client.get_shard_iterator(
            StreamName="s", ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
        )
        records = await asyncio.to_thread(client.get_records, ShardIterator=shard["ShardIterator"])
    assert done.values == batch
    assert not done.failed
    assert sorted(json.loads(one["Data"])["n"] for one in records["Records"]) == list(range(1200))
    assert len({one["PartitionKey"] for one in records["Records"]}) == 1200


async def test_only_what_was_refused_is_sent_again_and_keys_keep_their_order(tmp_path: Path) -> None:
    fake = FakeKinesis()
    batch = [{"key": str(n % 3), "n": n} for n in range(30)]
    fake.refuse = {json.dumps(one, separators=(",", ":")): 2 for one in (batch[0], batch[7], batch[20])}
    fake.faults["PutRecords"] = [(500, "InternalFailure")]
    async with serve_fake(fake) as endpoint:
        done = await put(tmp_path, endpoint, batch, partition_key="key")
    assert not done.failed
    assert len(fake.put) == 30
    orders = defaultdict(list)
    for key, value in fake.put:
        orders[key].append(value["n"])
    assert orders == {str(key): list(range(key, 30, 3)) for key in range(3)}


async def test_records_that_cannot_be_put_fail_alone(tmp_path: Path) -> None:
    fake = FakeKinesis()
    batch: list[Any] = [
        {"k": "a"},
        {"other": 1},
        {"k": "x" * 300},
        {"k": "b", "big": "x" * (1 << 20)},
        {"k": [1]},
        7,
    ]
    async with serve_fake(fake) as endpoint:
        done = await put(tmp_path, endpoint, batch, partition_key="k")
    assert [value for _, value in fake.put] == [{"k": "a"}, {"k": [1]}]
    assert sorted(done.failed) == [1, 2, 3, 5]
    assert all(error.is_final for error in done.failed.values())
    assert done.sources == [0, 4]


async def test_requests_hold_at_most_500_records_and_5_mebibytes(tmp_path: Path) -> None:
    fake = FakeKinesis()
    async with serve_fake(fake) as endpoint:
        await put(tmp_path, endpoint, [1] * 1100)
        await put(tmp_path, endpoint, ["x" * 900_000] * 12)
    sizes = [len(body["Records"]) for action, body in fake.calls if action == "PutRecords"]
    assert sizes == [500, 500, 100, 5, 5, 2]
