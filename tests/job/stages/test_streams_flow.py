"""A stream into a stream, through a real supervisor that is killed: nothing is lost, and only what was on its way is doubled."""

import json
import os
import signal
from collections import Counter
from pathlib import Path

import boto3
from redis import Redis
from support.brokers import run_redis
from support.lab import wait_for
from support.s3 import serve_s3
from support.stage_flows import stage, start_stages

RECORDS = 3000


def test_a_flow_from_redis_to_kinesis_loses_nothing_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    with run_redis(tmp_path) as server, serve_s3() as aws:
        client = Redis(port=server.port, protocol=2)
        kinesis = boto3.client(
            "kinesis",
            endpoint_url=aws.endpoint,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )
        kinesis.create_stream(StreamName="to", ShardCount=1)
        with client.pipeline() as pipe:
            for number in range(RECORDS):
                pipe.xadd("from", {"n": json.dumps({"n": number})})
            pipe.execute()
        stages = (
            stage("in", "redis", "shape", url=f"redis://127.0.0.1:{server.port}", stream="from", field="n"),
            stage("shape", "merge_data", "out", data={"from": "redis"}),
            stage(
                "out",
                "put_kinesis",
                stream="to",
                endpoint=aws.endpoint,
                access_key="a",
                secret_key="${secret.KEY}",
            ),
        )

        def arrived() -> Counter[int]:
            first = kinesis.get_shard_iterator(
                StreamName="to", ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
            )
            records = kinesis.get_records(ShardIterator=first["ShardIterator"], Limit=10_000)["Records"]
            return Counter(json.loads(one["Data"])["n"] for one in records)

        def is_settled() -> bool:
            groups = client.xinfo_groups("from") if client.exists("from") else []
            return bool(groups) and groups[0]["pending"] == 0 and groups[0]["lag"] == 0

        for until, what in ((arrived, "records in the second stream"), (is_settled, "all settled")):
            _, pid = start_stages(tmp_path, *stages, secrets={"KEY": "k"})
            try:
                wait_for(until, what)
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        assert set(arrived()) == set(range(RECORDS))
        client.close()
