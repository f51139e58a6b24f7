"""A Kinesis at its border: what moto can't do: resharding as AWS has it, and enhanced fan-out.

A shard's iterator is null once it is closed and read to its end; after a split its children have what follows; sequence numbers
grow over all shards. `faults` are answered in place of the next answers of an action.
"""

import asyncio
import base64
import json
import re
import struct
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class FakeShard:
    name: str
    parents: tuple[str, ...] = ()
    records: list[tuple[str, bytes]] = field(default_factory=list)
    is_closed: bool = False


@dataclass
class FakeKinesis:
    """One stream."""

    shards: dict[str, FakeShard] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    faults: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    refuse: dict[str, int] = field(
        default_factory=dict
    )  # of PutRecords: how often a record's text is refused
    put: list[tuple[str, Any]] = field(default_factory=list)
    port: int = 0
    _number: int = 1000

    def add(self, *parents: str) -> str:
        """A shard, in place of its parents."""
        name = f"shardId-{len(self.shards):012d}"
        for parent in parents:
            self.shards[parent].is_closed = True
        self.shards[name] = FakeShard(name, parents)
        return name

    def write(self, shard: str, *values: Any) -> None:
        """Records at a shard's end."""
        for value in values:
            self._number += 1
            self.shards[shard].records.append((str(self._number), json.dumps(value).encode()))

    def answer(self, action: str, body: dict[str, Any]) -> Any:
        """What the service says."""
        return getattr(self, "_" + re.sub(r"(?<!^)([A-Z])", r"_\1", action).lower())(body)

    def _describe_stream_summary(self, _body: Any) -> Any:
        return {"StreamDescriptionSummary": {"StreamARN": "arn:fake", "StreamCreationTimestamp": 1.5}}

    def _list_shards(self, _body: Any) -> Any:
        shards = []
        for shard in self.shards.values():
            entry: dict[str, Any] = {
                "ShardId": shard.name,
                "SequenceNumberRange": {"StartingSequenceNumber": "0"},
            }
            entry.update(zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False))
            if shard.is_closed:
                entry["SequenceNumberRange"]["EndingSequenceNumber"] = "999999"
            shards.append(entry)
        return {"Shards": shards}

    def _get_shard_iterator(self, body: Any) -> Any:
        return {"ShardIterator": f"{body['ShardId']} {body.get('StartingSequenceNumber', '0')}"}

    def _get_records(self, body: Any) -> Any:
        shard, after = body["ShardIterator"].split()
        page = self.page(shard, after)
        last = page[-1]["SequenceNumber"] if page else after
        is_end = self.shards[shard].is_closed and not self.page(shard, last)
        return {
            "Records": page,
            "MillisBehindLatest": 0,
            **({} if is_end else {"NextShardIterator": f"{shard} {last}"}),
        }

    def _register_stream_consumer(self, body: Any) -> Any:
        return {"Consumer": {"ConsumerARN": f"arn:{body['ConsumerName']}"}}

    def _describe_stream_consumer(self, body: Any) -> Any:
        return {
            "ConsumerDescription": {"ConsumerARN": f"arn:{body['ConsumerName']}", "ConsumerStatus": "ACTIVE"}
        }

    def _put_records(self, body: Any) -> Any:
        results = []
        for one in body["Records"]:
            text = base64.b64decode(one["Data"]).decode()
            if self.refuse.get(text, 0) > 0:
                self.refuse[text] -= 1
                results.append(
                    {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"}
                )
            else:
                self.put.append((one["PartitionKey"], json.loads(text)))
                results.append({"SequenceNumber": "1", "ShardId": "s"})
        return {"Records": results}

    def page(self, shard: str, after: str) -> list[dict[str, Any]]:
        """Two records at a time."""
        found = [
            {"SequenceNumber": number, "Data": base64.b64encode(data).decode(), "PartitionKey": "k"}
            for number, data in self.shards[shard].records
            if int(number) > int(after)
        ]
        return found[:2]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """HTTP, as much of it as a client needs."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {
                    key.lower(): value for key, value in (line.split(": ", 1) for line in head[1:] if line)
                }
                body = json.loads(await reader.readexactly(int(headers["content-length"])) or b"{}")
                action = headers["x-amz-target"].split(".")[1]
                self.calls.append((action, body))
                if self.faults[action]:
                    status, code = self.faults[action].pop(0)
                    self._respond(
                        writer, status, json.dumps({"__type": code, "message": "as planned"}).encode()
                    )
                elif action == "SubscribeToShard":
                    await self._stream(writer, body)
                    return
                else:
                    self._respond(writer, 200, json.dumps(self.answer(action, body)).encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _respond(self, writer: asyncio.StreamWriter, status: int, content: bytes) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\nDate: Mon, 30 Nov 2026 21:00:00 GMT\r\n\r\n"
        writer.write(head.encode() + content)

    async def _stream(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        """Events, until the shard is at its end; after each four the subscription is over, as after five minutes."""
        writer.write(
            b"HTTP/1.1 200 X\r\nContent-Type: application/vnd.amazon.eventstream\r\nConnection: close\r\n\r\n"
        )
        writer.write(frame("initial-response", b"{}"))
        shard, after = body["ShardId"], body["StartingPosition"].get("SequenceNumber", "0")
        for _ in range(4):
            page = self.page(shard, after)
            after = page[-1]["SequenceNumber"] if page else after
            is_end = self.shards[shard].is_closed and not self.page(shard, after)
            event = {
                "Records": page,
                "MillisBehindLatest": 0,
                **({} if is_end else {"ContinuationSequenceNumber": after}),
            }
            for byte_range in (slice(0, 11), slice(11, None)):  # frames come in any pieces
                writer.write(frame("SubscribeToShardEvent", json.dumps(event).encode())[byte_range])
                await writer.drain()
            if is_end:
                return
            await asyncio.sleep(0.02)


def frame(kind: str, payload: bytes) -> bytes:
    """A message of `application/vnd.amazon.eventstream`."""
    headers = b"".join(
        bytes([len(name)]) + name + b"\x07" + struct.pack("!H", len(value)) + value
        for name, value in ((b":message-type", b"event"), (b":event-type", kind.encode()))
    )
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    prelude += struct.pack("!I", zlib.crc32(prelude))
    whole = prelude + headers + payload
    return whole + struct.pack("!I", zlib.crc32(whole))


@asynccontextmanager
async def serve_fake(fake: FakeKinesis) -> AsyncIterator[str]:
    """Its address."""
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
