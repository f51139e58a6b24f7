"""NATS JetStream from a real server: every record once it is there, and again only what was not settled."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import nats as client
import pytest
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig
from support.brokers import Broker, run_nats
from support.streams import Collecting, driver, make_context, running

from agent.errors import AgentError
from agent.job.stages.actions import nats


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with run_nats(tmp_path_factory.mktemp("nats")) as broker:
        yield broker


class Stream:
    """A stream of its own."""

    def __init__(self, server: Broker, jetstream: Any) -> None:
        self.url = f"nats://127.0.0.1:{server.port}"
        self.jetstream = jetstream
        self.name = f"s{uuid4().hex}"

    async def put(self, *records: Any, subject: str = "a") -> None:
        for one in records:
            data = one if isinstance(one, bytes) else json.dumps(one).encode()
            await self.jetstream.publish(f"{self.name}.{subject}", data)

    def config(self, **more: object) -> dict[str, Any]:
        return {"url": self.url, "stream": self.name, **more}

    async def unsettled(self, durable: str) -> int:
        info = await self.jetstream.consumer_info(self.name, durable)
        return info.num_pending + info.num_ack_pending


@asynccontextmanager
async def stream_of(server: Broker, **config: Any) -> AsyncIterator[Stream]:
    connection = await client.connect(f"nats://127.0.0.1:{server.port}")
    stream = Stream(server, connection.jetstream())
    await stream.jetstream.add_stream(StreamConfig(name=stream.name, subjects=[f"{stream.name}.>"], **config))
    try:
        yield stream
    finally:
        await connection.close()


async def durable_of(stream: Stream, ack_wait: float = 1.0, **more: Any) -> str:
    """A consumer that was there before the flow."""
    config = ConsumerConfig(durable_name="mine", ack_policy=AckPolicy.EXPLICIT, ack_wait=ack_wait, **more)
    await stream.jetstream.add_consumer(stream.name, config)
    return "mine"


async def test_records_come_in_order_and_settled_ones_are_acknowledged(
    server: Broker, tmp_path: Path
) -> None:
    async with stream_of(server) as stream:
        await stream.put(*range(1200))
        intake, said = Collecting(), []
        trigger = nats.make(make_context(tmp_path, "in", stream.config(), said))
        async with running(trigger, intake):
            await intake.until(lambda it: len(it.values) == 1200)
            assert intake.values == list(range(1200))
            await trigger.settle(intake.batches[-1][1])
            durable = said[0].split("'")[1]
            while await stream.unsettled(durable):
                await asyncio.sleep(0.05)
        await stream.put("after")
        again = Collecting()
        async with running(nats.make(make_context(tmp_path, "in", stream.config())), again):
            await again.until(lambda it: it.values)
        assert again.values == ["after"]


async def test_what_takes_longer_than_ack_wait_does_not_come_twice(server: Broker, tmp_path: Path) -> None:
    async with stream_of(server) as stream:
        durable = await durable_of(stream, ack_wait=1)
        await stream.put("slow")
        intake = Collecting()
        trigger = nats.make(make_context(tmp_path, "in", stream.config(durable=durable)))
        async with running(trigger, intake):
            await intake.until(lambda it: it.values)
            began = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < began + 3:  # three times its ack_wait
                await asyncio.sleep(0.1)
            info = await stream.jetstream.consumer_info(stream.name, durable)
            assert info.num_redelivered == 0
            await trigger.settle(intake.batches[0][1])
            while await stream.unsettled(durable):
                await asyncio.sleep(0.05)
        assert intake.values == ["slow"]


async def test_two_copies_share_a_stream(server: Broker, tmp_path: Path) -> None:
    async with stream_of(server) as stream:
        intakes = [Collecting(), Collecting()]
        contexts = [make_context(tmp_path, "in", stream.config()) for _ in intakes]
        async with running(nats.make(contexts[0]), intakes[0]), running(nats.make(contexts[1]), intakes[1]):
            while not all(it.values for it in intakes):
                await stream.put("x")
            total = (await stream.jetstream.stream_info(stream.name)).state.messages
            while len(intakes[0].values) + len(intakes[1].values) < total:
                await asyncio.sleep(0.05)
        assert len(intakes[0].values) + len(intakes[1].values) == total


async def test_a_server_that_is_killed_is_waited_for_and_nothing_settled_comes_again(tmp_path: Path) -> None:
    with run_nats(tmp_path) as server:
        async with stream_of(server) as stream:
            await stream.put(1, 2)
            intake, said = Collecting(), []
            trigger = nats.make(make_context(tmp_path, "in", stream.config(), said))
            async with running(trigger, intake):
                await intake.until(lambda it: len(it.values) == 2)
                server.kill()
                await trigger.settle(intake.batches[-1][1])  # while nobody can be told
                while not any(line.startswith("NATS: ") for line in said):
                    await asyncio.sleep(0.05)
                await asyncio.to_thread(server.start)
                async with stream_again(stream) as jetstream:
                    await jetstream.publish(f"{stream.name}.a", b"3")
                    await intake.until(lambda it: 3 in it.values)
                    durable = said[0].split("'")[1]
                    await trigger.settle(intake.batches[-1][1])
                    while True:
                        info = await jetstream.consumer_info(stream.name, durable)
                        if not info.num_pending + info.num_ack_pending:
                            break
                        await asyncio.sleep(0.05)
            assert intake.values == [1, 2, 3]


@asynccontextmanager
async def stream_again(stream: Stream) -> AsyncIterator[Any]:
    connection = await client.connect(stream.url)
    try:
        yield connection.jetstream()
    finally:
        await connection.close()


async def test_a_killed_consumer_brings_again_only_what_was_not_settled(
    server: Broker, tmp_path: Path
) -> None:
    async with stream_of(server) as stream:
        durable = await durable_of(stream, ack_wait=1)
        config = stream.config(durable=durable)
        await stream.put(*range(5))

        def first() -> None:
            with driver("nats", config, tmp_path, "5") as process:
                process.read_until(lambda it: len(it.settled) == 5)
                asyncio.run_coroutine_threadsafe(stream.put(*range(5, 8)), loop).result()
                process.read_until(lambda it: len(it.got) == 8)
                process.kill()

        def second() -> list[Any]:
            with driver("nats", config, tmp_path, "0") as process:
                process.read_until(lambda it: len(it.got) == 3)
                return process.got

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(first)
        assert sorted(await asyncio.to_thread(second)) == [5, 6, 7]


async def test_what_is_no_record_is_a_dead_letter_in_its_order(server: Broker, tmp_path: Path) -> None:
    async with stream_of(server) as stream:
        await stream.put(1, b"{", json.dumps("x" * 200).encode(), 2)
        intake = Collecting()
        trigger = nats.make(make_context(tmp_path, "in", stream.config(most_bytes=100)))
        async with running(trigger, intake):
            await intake.until(lambda it: it.values == [1, 2])
        assert [error.is_final for _, _, error in intake.dead] == [True, True]
        numbers = [position.at for _, position in intake.batches] + [
            position.at for _, position, _ in intake.dead
        ]
        assert sorted(numbers) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        ({"filter_subject": "{stream}.a"}, {"subject": "{stream}.b"}, "has the subject"),
        ({"deliver_subject": "push"}, {}, "push consumer"),
        ({"ack_policy": AckPolicy.ALL}, {}, "no explicit acknowledgements"),
    ],
)
async def test_a_consumer_that_is_another_than_the_flow_says_is_refused(
    server: Broker, tmp_path: Path, theirs: dict[str, Any], ours: dict[str, Any], message: str
) -> None:
    async with stream_of(server) as stream:
        filled = {
            key: one.format(stream=stream.name) if isinstance(one, str) else one
            for key, one in theirs.items()
        }
        await stream.jetstream.add_consumer(
            stream.name,
            ConsumerConfig(**{"durable_name": "mine", "ack_policy": AckPolicy.EXPLICIT, **filled}),
        )
        config = stream.config(
            durable="mine", **{key: one.format(stream=stream.name) for key, one in ours.items()}
        )
        trigger = nats.make(make_context(tmp_path, "in", config))
        with pytest.raises(AgentError, match=message):
            await trigger.run(Collecting())
        await trigger.close()


async def test_a_bound_of_deliveries_is_warned_of(server: Broker, tmp_path: Path) -> None:
    async with stream_of(server) as stream:
        durable, said = await durable_of(stream, max_deliver=3), []
        async with running(
            nats.make(make_context(tmp_path, "in", stream.config(durable=durable), said)), Collecting()
        ):
            while not said:
                await asyncio.sleep(0.05)
        assert "max_deliver" in said[0]


async def test_a_consumer_that_is_gone_is_told_and_not_made_anew(server: Broker, tmp_path: Path) -> None:
    async with stream_of(server) as stream:
        await stream.put(1)
        intake, said = Collecting(), []
        async with running(nats.make(make_context(tmp_path, "in", stream.config(), said)), intake):
            await intake.until(lambda it: it.values)
        await stream.jetstream.delete_consumer(stream.name, said[0].split("'")[1])
        trigger = nats.make(make_context(tmp_path, "in", stream.config()))
        with pytest.raises(AgentError, match="is gone") as caught:
            await trigger.run(Collecting())
        assert "name another `durable`" in caught.value.hint
        await trigger.close()


async def test_records_that_the_streams_limits_removed_are_told(server: Broker, tmp_path: Path) -> None:
    async with stream_of(server, max_msgs=5) as stream:
        await stream.put(1)
        intake = Collecting()
        trigger = nats.make(make_context(tmp_path, "in", stream.config()))
        async with running(trigger, intake):
            await intake.until(lambda it: it.values)
            await trigger.settle(intake.batches[0][1])
        await stream.put(*range(2, 12))
        said: list[str] = []
        intake = Collecting()
        async with running(nats.make(make_context(tmp_path, "in", stream.config(), said)), intake):
            await intake.until(lambda it: len(it.values) == 5)
            async with asyncio.timeout(20):
                while not any("5 records were removed" in line for line in said):
                    await asyncio.sleep(0.01)


async def test_a_stream_that_is_not_there_is_an_error_with_what_to_do(server: Broker, tmp_path: Path) -> None:
    trigger = nats.make(
        make_context(tmp_path, "in", {"url": f"nats://127.0.0.1:{server.port}", "stream": "nowhere"})
    )
    with pytest.raises(AgentError, match="there is no stream 'nowhere'"):
        await trigger.run(Collecting())
    await trigger.close()
