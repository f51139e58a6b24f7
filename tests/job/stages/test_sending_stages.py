"""Stages that send: webhooks out, and messages to Slack. The receiver is a real one, and fails on command."""

import asyncio
import socket
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path

import pytest
from support.receiver import Receiver, Reply, running_receiver
from support.stages import Bench, make_bench, work

from agent.errors import AgentError
from agent.job.stages.actions import send, slack
from agent.job.stages.stage import MakeStage


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as found:
        yield found


async def test_a_record_is_sent_as_json_and_goes_on_as_it_came(bench: Bench, receiver: Receiver) -> None:
    stage = await bench.open(
        send.make, {"url": f"{receiver.url}/orders?kind=big", "params": {"a": 1, "b": ["x", "y"]}}
    )
    done = await work(stage, {"id": 1, "name": "é"})
    await stage.close()
    (request,) = receiver.requests
    assert (request.method, request.target) == ("POST", "/orders?kind=big&a=1&b=x&b=y")
    assert request.json == {"id": 1, "name": "é"}
    assert request.header("Content-Type") == "application/json"
    assert list(done.values) == [{"id": 1, "name": "é"}]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer s", "X-Count": 5},
        [{"Authorization": "Bearer s"}, {"X-Count": 5}],
        [["Authorization", "Bearer s"], ["X-Count", 5]],
    ],
)
async def test_headers_are_a_mapping_a_list_of_mappings_or_of_pairs(
    bench: Bench, receiver: Receiver, headers: object
) -> None:
    stage = await bench.open(send.make, {"url": receiver.url, "headers": headers})
    await work(stage, {})
    await stage.close()
    (request,) = receiver.requests
    assert (request.header("Authorization"), request.header("X-Count")) == ("Bearer s", "5")


@pytest.mark.parametrize("method", ["post", "head", "get", "delete", "trace", "options", "put", "patch"])
async def test_every_method_is_sent_with_the_record_where_that_means_something(
    bench: Bench, receiver: Receiver, method: str
) -> None:
    stage = await bench.open(send.make, {"url": receiver.url, "method": method})
    done = await work(stage, {"id": 1})
    await stage.close()
    (request,) = receiver.requests
    assert request.method == method.upper()
    assert request.body == (b"" if method in ("head", "get", "trace", "options") else b'{"id":1}')
    assert list(done.values) == [{"id": 1}]


@pytest.mark.parametrize(
    ("config", "body", "kind"),
    [
        ({"event_body": False}, b"", ""),
        ({"body": "hello"}, b"hello", "text/plain; charset=utf-8"),
        ({"body": {"a": [1]}}, b'{"a":[1]}', "application/json"),
        ({"body": "<a/>", "headers": {"content-type": "text/xml"}}, b"<a/>", "text/xml"),
        ({"body": "ask", "method": "get"}, b"ask", "text/plain; charset=utf-8"),
    ],
)
async def test_a_body_is_the_records_none_or_one_that_is_always_the_same(
    bench: Bench, receiver: Receiver, config: dict[str, object], body: bytes, kind: str
) -> None:
    stage = await bench.open(send.make, {"url": receiver.url, **config})
    await work(stage, {"id": 1})
    await stage.close()
    (request,) = receiver.requests
    assert (request.body, request.header("Content-Type")) == (body, kind)


@pytest.mark.parametrize(
    ("body", "value"),
    [(b'{"ok": true}', {"ok": True}), (b"well", "well"), (b"NaN", "NaN"), (b"", None), (b"\xff", "\ufffd")],
)
async def test_an_answer_is_handed_on_in_its_field(
    bench: Bench, receiver: Receiver, body: bytes, value: object
) -> None:
    receiver.answer = lambda _request: Reply(body=body)
    stage = await bench.open(send.make, {"url": receiver.url, "response": "found"})
    done = await work(stage, {"id": 1}, {"id": 2}, [3])
    await stage.close()
    assert list(done.values) == [{"id": 1, "found": value}, {"id": 2, "found": value}]
    assert "the record is no object" in str(done.failed[2])
    assert done.failed[2].is_final
    assert len(receiver.requests) == 2


@pytest.mark.parametrize(
    ("status", "is_final"),
    [
        (status, status not in (408, 425, 429, 500, 502, 503))
        for status in (301, 400, 404, 408, 425, 429, 503)
    ],
)
async def test_what_a_receiver_refuses_is_final_and_what_it_can_not_do_now_is_tried_again(
    bench: Bench, receiver: Receiver, status: int, *, is_final: bool
) -> None:
    receiver.answer = lambda _request: Reply(status, b"no\nsuch   thing")
    stage = await bench.open(send.make, {"url": f"{receiver.url}/hidden/path"})
    done = await work(stage, {})
    await stage.close()
    error = done.failed[0]
    assert error.is_final is is_final
    assert f"has answered {status}" in str(error)
    assert ("no such thing" in str(error)) is (status not in (301, 308))
    assert "hidden" not in str(error)


async def test_who_says_when_to_come_again_is_left_alone_until_then(bench: Bench, receiver: Receiver) -> None:
    bench.now = 1_800_000_000.0
    date = formatdate(bench.now + 90, usegmt=True)
    for after in ("120", date, "never", "-5", "1e9", "99999"):
        receiver.replies.append(Reply(429, headers={"Retry-After": after}))
    stage = await bench.open(send.make, {"url": receiver.url})
    waits = [(await work(stage, {})).failed[0].after for _ in range(6)]
    await stage.close()
    assert waits == [120, 90, 0, 0, 0, 3600]


async def test_a_receiver_that_is_not_there_is_tried_again(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    stage = await bench.open(send.make, {"url": f"http://user:hunter2@127.0.0.1:{port}/secret"})
    done = await work(stage, {})
    await stage.close()
    assert f"127.0.0.1:{port} can't be reached" in str(done.failed[0])
    assert "secret" not in str(done.failed[0])
    assert "hunter2" not in str(done.failed[0])
    assert not done.failed[0].is_final


@pytest.mark.parametrize(
    ("reply", "config", "said", "is_final"),
    [
        (Reply(is_cut=True), {}, "can't be reached", False),
        (Reply(is_silent=True), {"timeout": 0.3}, "no answer within 0.3 s", False),
        (Reply(is_endless=True), {"response": "found"}, "has answered with more than 1024 KiB", True),
        (Reply(503, is_endless=True), {}, "has answered 503", False),
        (Reply(headers={"Content-Encoding": "gzip"}, body=b"none"), {"response": "x"}, "can't be read", True),
    ],
)
async def test_answers_that_are_cut_late_or_endless_have_their_sentence(
    bench: Bench, receiver: Receiver, reply: Reply, config: dict[str, object], said: str, *, is_final: bool
) -> None:
    receiver.answer = lambda _request: reply
    stage = await bench.open(send.make, {"url": receiver.url, **config})
    done = await work(stage, {})
    await stage.close()
    assert said in str(done.failed[0])
    assert done.failed[0].is_final is is_final


async def test_an_endless_answer_that_nobody_wants_is_let_go(bench: Bench, receiver: Receiver) -> None:
    receiver.answer = lambda _request: Reply(is_endless=True)
    stage = await bench.open(send.make, {"url": receiver.url})
    done = await work(stage, {})
    await stage.close()
    assert list(done.values) == [{}]


async def test_connections_are_kept_and_some_requests_are_on_their_way_together_in_the_records_order(
    bench: Bench, receiver: Receiver
) -> None:
    receiver.gate = asyncio.Event()
    receiver.answer = lambda request: Reply(500 if request.json["id"] == 7 else 200)
    stage = await bench.open(send.make, {"url": receiver.url})
    working = asyncio.ensure_future(work(stage, *({"id": number} for number in range(40))))
    await receiver.wait_for(16)
    assert receiver.at_once == 16
    receiver.gate.set()
    done = await working
    await work(stage, *({"id": number} for number in range(10, 30)))
    await stage.close()
    assert list(done.values) == [{"id": number} for number in range(40) if number != 7]
    assert list(done.failed) == [7]
    assert receiver.connections <= 17


async def test_a_record_that_is_sent_again_has_the_same_key_and_no_other_has_it(
    bench: Bench, receiver: Receiver
) -> None:
    receiver.replies = [Reply(500), Reply(503), Reply(200)]
    stage = await bench.open(send.make, {"url": receiver.url})
    record, equal = {"id": 1}, {"id": 1}
    for _ in range(3):
        await work(stage, record)
    await work(stage, equal)
    await work(stage, record)
    await stage.close()
    first, second, third, other, later = (request.header("Idempotency-Key") for request in receiver.requests)
    assert first == second == third
    assert len(first.strip('"')) == 36
    assert len({third, other, later}) == 3


async def test_a_key_of_the_users_own_is_the_one_that_is_sent(bench: Bench, receiver: Receiver) -> None:
    stage = await bench.open(send.make, {"url": receiver.url, "headers": {"idempotency-key": "mine"}})
    await work(stage, {})
    await stage.close()
    assert [value for name, value in receiver.requests[0].headers if name.lower() == "idempotency-key"] == [
        "mine"
    ]


@pytest.mark.parametrize(
    ("make", "config", "said"),
    [
        (send.make, {}, "`url` is no address"),
        (send.make, {"url": "ftp://host/x"}, "`url` is no address"),
        (send.make, {"url": "http://[::1"}, "`url` is no address"),
        (send.make, {"url": "http://h", "method": "fetch"}, "`method` is none of"),
        (send.make, {"url": "http://h", "headers": "A: b"}, "`headers` is a mapping"),
        (send.make, {"url": "http://h", "headers": [["A"]]}, "no mapping and no pair"),
        (send.make, {"url": "http://h", "headers": {"A": "b\nC: d"}}, "no header can have"),
        (send.make, {"url": "http://h", "timeout": "soon"}, "`timeout` is a number"),
        (slack.make, {"url": "http://h", "level": "loud"}, "`level` is none of"),
        (slack.make, {}, "`url` is no address"),
    ],
)
def test_a_configuration_that_can_not_be_is_refused_before_anything_is_sent(
    bench: Bench, make: MakeStage, config: dict[str, object], said: str
) -> None:
    with pytest.raises(AgentError) as caught:
        make(bench.context(config))
    assert said in str(caught.value)


async def test_a_message_to_slack_has_its_levels_colour_and_the_records_fields(
    bench: Bench, receiver: Receiver
) -> None:
    receiver.answer = lambda _request: Reply(body=b"ok")
    config = {"url": receiver.url, "level": "error", "text": "{user.name} failed: {why} ({none}) {list}"}
    stage = await bench.open(slack.make, config)
    record = {"user": {"name": "<!channel> & co"}, "why": 5, "list": [1]}
    done = await work(stage, record)
    await stage.close()
    text = "&lt;!channel&gt; &amp; co failed: 5 ({none}) [1]"
    assert receiver.requests[0].json == {
        "attachments": [{"color": "#a30200", "text": text, "fallback": text}]
    }
    assert list(done.values) == [record]


async def test_a_message_to_slack_is_the_record_where_nothing_else_is_said(
    bench: Bench, receiver: Receiver
) -> None:
    stage = await bench.open(slack.make, {"url": receiver.url})
    await work(stage, {"id": 1}, "text")
    await stage.close()
    told = [request.json["attachments"][0] for request in receiver.requests]
    assert [item["text"] for item in told] == ['{"id": 1}', "text"]
    assert {item["color"] for item in told} == {"#439fe0"}


async def test_slack_that_wants_to_be_left_alone_is_asked_no_more_in_this_batch(
    bench: Bench, receiver: Receiver
) -> None:
    receiver.replies = [Reply(200), Reply(429, headers={"Retry-After": "30"})]
    stage = await bench.open(slack.make, {"url": receiver.url})
    done = await work(stage, 1, 2, 3, 4)
    assert len(receiver.requests) == 2
    assert receiver.most_at_once == 1
    assert {place: (error.after, error.is_final) for place, error in done.failed.items()} == dict.fromkeys(
        (1, 2, 3), (30, False)
    )
    await work(stage, 2, 3, 4)
    await stage.close()
    assert len(receiver.requests) == 5


async def test_slack_that_knows_no_such_channel_is_final(bench: Bench, receiver: Receiver) -> None:
    receiver.answer = lambda _request: Reply(404, b"channel_not_found")
    stage = await bench.open(slack.make, {"url": receiver.url})
    done = await work(stage, 1)
    await stage.close()
    assert done.failed[0].is_final
    assert "404 Not Found: channel_not_found" in str(done.failed[0])
