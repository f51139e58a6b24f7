"""Resharding, iterators that end, throttling and enhanced fan-out, against a fake at the service's border; and the pure rules."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.kinesis import FakeKinesis, serve_fake
from support.streams import Collecting, FileBookmarks, make_context, running

from agent.job.stages.actions.connecting.holding import Pace
from agent.job.stages.actions.kinesis.shards import Shard, fair_share, find_readable
from agent.job.stages.actions.kinesis.trigger import KinesisTrigger

QUICK = Pace(lease=3, keep=0.5, checkpoint=0.05, look=0.1)


@pytest.fixture(params=["asked", "sent"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., KinesisTrigger]:
    """A trigger that asks for its records, or is sent them."""

    def made(endpoint: str, said: list[str] | None = None) -> KinesisTrigger:
        config = {
            "stream": "s",
            "cold_start": "trim_horizon",
            "endpoint": endpoint,
            "access_key": "a",
            "secret_key": "b",
        }
        consumer = "jumpwire" if request.param == "sent" else ""
        return KinesisTrigger(make_context(tmp_path, "in", config, said), consumer, QUICK)

    return made


async def until_value(folder: Path, shard: str, key: str, value: object) -> None:
    marks = FileBookmarks(folder)
    while (marks.value(f"kinesis/in/{shard}") or {}).get(key) != value:
        await asyncio.sleep(0.02)


async def test_children_are_read_when_all_of_their_parents_have_ended_and_settled(
    make: Any, tmp_path: Path
) -> None:
    fake = FakeKinesis()
    parents = [fake.add(), fake.add()]
    for number, parent in enumerate(parents):
        fake.write(parent, *(f"parent {number} {n}" for n in range(5)))
    async with serve_fake(fake) as endpoint:
        trigger, intake = make(endpoint), Collecting()
        async with running(trigger, intake):
            await intake.until(lambda it: len(it.values) == 10)
            child = fake.add(*parents)  # a merge
            fake.write(child, "child")
            await trigger.settle(intake.last[parents[0]])
            await until_value(tmp_path, parents[0], "ended", True)
            assert "child" not in intake.values  # one parent has ended, the other is not settled
            await trigger.settle(intake.last[parents[1]])
            await intake.until(lambda it: "child" in it.values)
            # A split, and its children.
            halves = [fake.add(child), fake.add(child)]
            for half in halves:
                fake.write(half, half)
            await trigger.settle(intake.last[child])
            await intake.until(lambda it: set(halves) <= set(it.values))
        assert len(intake.values) == 13
        # What has ended is not read again.
        again = Collecting()
        async with running(make(endpoint), again):
            await again.until(lambda it: len(it.values) == 2)
        assert set(again.values) == set(halves)


async def test_a_shard_that_closes_with_nothing_in_it_ends(make: Any, tmp_path: Path) -> None:
    fake = FakeKinesis()
    parent = fake.add()
    child = fake.add(parent)
    fake.write(child, 1)
    async with serve_fake(fake) as endpoint:
        intake = Collecting()
        async with running(make(endpoint), intake):
            await intake.until(lambda it: it.values)
    assert FileBookmarks(tmp_path).value(f"kinesis/in/{parent}")["ended"]


async def test_an_iterator_that_is_null_on_an_open_shard_is_not_its_end(make: Any, tmp_path: Path) -> None:
    fake = FakeKinesis()
    shard = fake.add()
    fake.write(shard, 1, 2, 3)
    ending = fake.shards[shard]
    read = fake._get_records
    fake._get_records = lambda body: {
        key: value for key, value in read(body).items() if key != "NextShardIterator"
    }  # type: ignore[method-assign]
    async with serve_fake(fake) as endpoint:
        intake = Collecting()
        async with running(make(endpoint), intake):
            await intake.until(lambda it: len(it.values) == 3)
            fake.write(shard, 4)
            await intake.until(lambda it: 4 in it.values)
    assert not ending.is_closed
    assert intake.values == [1, 2, 3, 4]
    assert not (FileBookmarks(tmp_path).value(f"kinesis/in/{shard}") or {}).get("ended")


async def test_throttling_broken_answers_and_old_iterators_are_waited_out(tmp_path: Path) -> None:
    fake = FakeKinesis()
    shard = fake.add()
    fake.write(shard, *range(6))
    fake.faults["GetRecords"] = [
        (400, "ProvisionedThroughputExceededException"),
        (500, "InternalFailure"),
        (400, "ExpiredIteratorException"),
        (503, "ServiceUnavailable"),
    ]
    fake.faults["ListShards"] = [(400, "LimitExceededException")]
    config = {"stream": "s", "cold_start": "trim_horizon", "access_key": "a", "secret_key": "b"}
    async with serve_fake(fake) as endpoint:
        intake = Collecting()
        trigger = KinesisTrigger(make_context(tmp_path, "in", {**config, "endpoint": endpoint}), pace=QUICK)
        async with running(trigger, intake):
            await intake.until(lambda it: len(it.values) == 6)
    assert intake.values == list(range(6))


async def test_a_subscription_goes_on_after_its_time_where_it_was(tmp_path: Path) -> None:
    fake = FakeKinesis()
    shard = fake.add()
    fake.write(shard, *range(20))
    fake.faults["SubscribeToShard"] = [(400, "ResourceInUseException"), (500, "InternalFailure")]
    config = {"stream": "s", "cold_start": "trim_horizon", "access_key": "a", "secret_key": "b"}
    async with serve_fake(fake) as endpoint:
        intake = Collecting()
        context = make_context(tmp_path, "in", {**config, "endpoint": endpoint})
        async with running(KinesisTrigger(context, "mine", QUICK), intake):
            await intake.until(lambda it: len(it.values) == 20)
            fake.write(shard, 20)
            await intake.until(lambda it: 20 in it.values)
    assert intake.values == list(range(21))
    actions = [action for action, _ in fake.calls]
    assert "GetRecords" not in actions
    assert actions.count("SubscribeToShard") > 4


def test_a_shard_is_readable_when_its_parents_have_ended_or_are_forgotten() -> None:
    shards = {
        one.name: one for one in (Shard("1"), Shard("2", ("1",)), Shard("3", ("1", "2")), Shard("4", ("0",)))
    }
    assert find_readable(shards, set()) == ["1", "4"]
    assert find_readable(shards, {"1"}) == ["2", "4"]
    assert find_readable(shards, {"1", "2", "4"}) == ["3"]


@pytest.mark.parametrize(
    ("shards", "copies", "share"), [(4, 2, 2), (5, 2, 3), (1, 3, 1), (0, 1, 0), (3, 0, 3)]
)
def test_a_share_is_as_many_as_every_other_rounded_up(shards: int, copies: int, share: int) -> None:
    assert fair_share(shards, copies) == share
