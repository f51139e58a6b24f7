"""Flows with each stage and each trigger there is: run here from a file of records, and deployed on a real agent by a real server.

Deployed, their records come from where they come from: HTTP, UDP, the clock, Kinesis (moto's), PostgreSQL, NATS, Redis.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import asyncpg
import boto3
import httpx
import nats
import pytest
from redis import Redis
from support.brokers import run_nats, run_redis
from support.kinesis import FakeKinesis, serve_fake
from support.lab import Lab, command_line, wait_for
from support.postgres import run_cluster
from support.s3 import serve_s3
from support.sink import Sink, running_sink

FLOWS = Path(__file__).parent / "stage_flows"
# Of each flow: the records that its file has, and what reaches the end of it.
RECORDS: dict[str, tuple[list[Any], Any]] = {
    "relay": (
        [{"id": 1, "size": "big", "total": "7", "x": 0}, {"id": 2, "size": "small", "total": "1"}],
        [{"id": 1, "total": 7}],
    ),
    "zip": (
        [{"n": 1}, {"n": 2}],
        [[{"n": 1, "side": "a"}, {"n": 1, "side": "b"}], [{"n": 2, "side": "a"}, {"n": 2, "side": "b"}]],
    ),
    "reduce": ([{"x": 1, "y": 2, "z": 3}], [{"x": 1, "y": 2}]),
    "decode": ([{"body": '[{"a": 1}, {"a": 2}]'}], [{"a": 1}, {"a": 2}]),
    "slow": ([{"n": 1}, {"n": 2}], [{"n": 1}, {"n": 2}]),
    "broken": ([{"n": 1}], [{"n": 1}]),
    "python": ([{"n": 2}], [{"n": 4}]),
    "javascript": ([{"n": 3}], [{"n": 6}]),
    "command": ([{"n": 1}], [{"n": 1, "seen": True}]),
    "tell": ([{"n": 1}], None),
    "hydrate": ([{"n": 1}], [{"n": 1}, {"n": 1}]),
    "packets": ([{"n": 1}], [{"n": 1}]),
    "shards": ([{"n": 1}], [{"n": 1}]),
    "consumer": ([{"n": 1}], [{"n": 1}]),
    "changes": ([{"operation": "insert"}], [{"operation": "insert"}]),
    "subjects": ([{"n": 1}], [{"n": 1}]),
    "entries": ([{"n": 1}], [{"n": 1}]),
    "minutely": ([{"hello": "world"}], [{"hello": "world"}]),
    "action": ([{"n": 2}], [{"n": 6}]),
}
ACTION = """\
name: double
inputs: {times: {required: true}}
runs: {using: node20, main: main.js}
"""
MAIN = """\
const lines = require('readline').createInterface({input: process.stdin})
lines.on('line', line => console.log(JSON.stringify({n: JSON.parse(line).n * Number(process.env.INPUT_TIMES)})))
"""
HOOKS = ("relay", "zip", "reduce", "decode", "slow", "broken", "python", "javascript", "command", "tell")
SOURCES = ("packets", "minutely", "shards", "changes", "subjects", "entries")


@pytest.fixture
def sink() -> Iterator[Sink]:
    with running_sink() as made:
        yield made


def test_every_flow_has_its_records() -> None:
    assert sorted(file.stem for file in FLOWS.glob("*.yml")) == sorted(RECORDS)
    assert len(RECORDS) >= 15


@pytest.mark.parametrize("name", RECORDS)
def test_a_flow_runs_here_from_a_file_of_records(tmp_path: Path, sink: Sink, name: str) -> None:
    records, wanted = RECORDS[name]
    (tmp_path / "double").mkdir()
    (tmp_path / "double" / "action.yml").write_text(ACTION)
    (tmp_path / "double" / "main.js").write_text(MAIN)
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    with serve_s3() if name == "shards" else contextlib.nullcontext() as aws:
        if aws is not None:
            make_stream(aws.endpoint, "copies")
        endpoint = aws.endpoint if aws is not None else "http://127.0.0.1:9"
        done = subprocess.run(
            [
                *command_line("flow", "run", FLOWS / f"{name}.yml", "--workspace", tmp_path),
                *("--event-file", str(tmp_path / "records.jsonl")),
                *("--secret", f"SINK={sink.url}", "--secret", f"KINESIS={endpoint}"),
            ],
            env={**os.environ, "HOME": str(tmp_path), "AGENT_STATE": str(tmp_path / "state")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == (1 if name == "broken" else 0), done.stdout + done.stderr
    assert same(sink.came, wanted) if wanted is not None else sink.has("all is well")


@pytest.mark.store("sqlite")
def test_flows_that_receive_webhooks_are_deployed(lab: Lab, sink: Sink) -> None:
    """All at once, on one agent."""
    lab.agent("secret", "set", "SINK", given=sink.url)
    lab.add_agent("one", "--max-jobs", "20")
    urls = {name: deploy(lab, name) for name in HOOKS}
    for name in HOOKS:
        for record in RECORDS[name][0]:
            answer = httpx.post(urls[name], json=record)
            assert answer.status_code == 202, (name, answer.text)
    wanted = [value for name in HOOKS for value in RECORDS[name][1] or ()]
    wait_for(lambda: len(sink.came) >= len(wanted) + 1, "all that they send")
    others = [value for value in sink.came if "all is well" not in json.dumps(value)]
    assert same(others, wanted)


@pytest.mark.store("sqlite")
def test_flows_that_take_records_from_elsewhere_are_deployed(lab: Lab, sink: Sink, tmp_path: Path) -> None:
    for folder in ("nats", "redis"):
        (tmp_path / folder).mkdir()
    with (
        serve_s3() as aws,
        run_cluster("wal_level=logical") as postgres,
        run_nats(tmp_path / "nats") as broker,
        run_redis(tmp_path / "redis") as redis,
        contextlib.closing(Redis(port=redis.port, protocol=2)) as client,
    ):
        database = postgres.make_database()
        kinesis = make_stream(aws.endpoint, "orders")
        make_stream(aws.endpoint, "copies")
        asyncio.run(in_database(database, "create table orders (id int primary key)"))
        asyncio.run(in_nats(broker.port, adds=True))
        secrets = {
            "SINK": sink.url,
            "KINESIS": aws.endpoint,
            "DATABASE": database,
            "NATS": f"nats://127.0.0.1:{broker.port}",
            "REDIS": f"redis://127.0.0.1:{redis.port}",
        }
        for key, value in secrets.items():
            assert lab.agent("secret", "set", key, given=value).code == 0
        lab.add_agent("one", "--max-jobs", "20")
        for name in SOURCES:
            deploy(lab, name)
        wait_for(lambda: all_run(lab), "their runs")
        kinesis.put_record(StreamName="orders", Data=b'{"from": "kinesis"}', PartitionKey="a")
        client.xadd("orders", {"record": '{"from": "redis"}'})
        asyncio.run(in_nats(broker.port))
        rows = iter(range(10_000))
        insert = "insert into orders values ({})"
        wait_for(lambda: sink.has("packet") or send_packet(), "a packet")
        wait_for(
            lambda: sink.has("insert") or asyncio.run(in_database(database, insert.format(next(rows)))),
            "a change",
        )
        for word in ("kinesis", "redis", "nats", "hello"):
            wait_for(lambda word=word: sink.has(word), word)


@pytest.mark.store("sqlite")
def test_a_flow_with_a_consumer_of_kinesis_is_deployed(lab: Lab, sink: Sink) -> None:
    """Its enhanced fan-out is what moto has not."""
    fake = FakeKinesis()
    fake.write(fake.add(), {"from": "consumer"})
    with serving(fake) as endpoint:
        for key, value in {"SINK": sink.url, "KINESIS": endpoint}.items():
            assert lab.agent("secret", "set", key, given=value).code == 0
        lab.add_agent("one")
        deploy(lab, "consumer")
        wait_for(lambda: sink.has("consumer"), "the record")


@contextlib.contextmanager
def serving(fake: FakeKinesis) -> Iterator[str]:
    """The address of a stand-in for Kinesis, in a thread of its own."""
    address: Future[str] = Future()
    over = threading.Event()

    async def serve() -> None:
        async with serve_fake(fake) as url:
            address.set_result(url)
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield address.result()
    finally:
        over.set()
        thread.join()


def deploy(lab: Lab, name: str) -> str:
    """Where it receives, if it does."""
    done = lab.agent("flow", "deploy", FLOWS / f"{name}.yml")
    assert done.code == 0, done.err
    return next((line.split()[-1] for line in done.out.splitlines() if "receives at" in line), "")


def all_run(lab: Lab) -> bool:
    """Whether the runs of all deployments are under way."""
    found = lab.get("flow", "deployments")
    return all(place["state"] == "running" for one in found for place in one["places"])


def same(one: Any, other: Any) -> bool:
    """Whether both have the same values, in whatever order."""

    def key(value: Any) -> str:
        return json.dumps(value, sort_keys=True)

    return sorted(one, key=key) == sorted(other, key=key)


def make_stream(endpoint: str, name: str) -> Any:
    """A stream of Kinesis, and who puts records into it."""
    client = boto3.client(
        "kinesis",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    client.create_stream(StreamName=name, ShardCount=1)
    return client


def send_packet() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b'{"from": "packet"}', ("127.0.0.1", 47123))


async def in_database(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def in_nats(port: int, *, adds: bool = False) -> None:
    client = await nats.connect(f"nats://127.0.0.1:{port}")
    stream = client.jetstream()
    if adds:
        await stream.add_stream(name="orders", subjects=["orders.*"])
    else:
        await stream.publish("orders.new", b'{"from": "nats"}')
    await client.close()
