"""Flows whose stages are code, commands, actions and webhooks, in a real supervisor."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
from pathlib import Path

from support.jobs import finish_job, read_report, write_action
from support.lab import wait_for
from support.receiver import Reply, running_receiver
from support.stage_flows import read_letters, run_stages, stage, start_stages, write_records

from agent.job.stages.bookmarks.folder import FolderBookmarks
from agent.spec.outcome import Conclusion

KEEP = """
import json, os
file = open("kept.jsonl", "a")
def handle(record):
    file.write(json.dumps(record) + "\\n")
    file.flush()
    return record
"""


def read_kept(place: Path) -> list[object]:
    file = place / "kept.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_records_go_through_code_a_command_and_an_action(tmp_path: Path) -> None:
    place = tmp_path / "place"
    main = "import json, sys\nfor line in sys.stdin:\n    print(json.dumps({**json.loads(line), 'by': 'action'}))\n"
    write_action(place, "mark", "name: m\nruns: {using: python, main: main.py}\n", main_py=main)
    file = write_records(tmp_path / "records.jsonl", [{"id": number} for number in range(3000)])
    report = run_stages(
        tmp_path,
        stage("in", "manual", "python"),
        stage(
            "python", "python", "javascript", code="def handle(r):\n    return r if r['id'] % 2 else None\n"
        ),
        stage(
            "javascript", "javascript", "command", code="export default (r) => [r, { ...r, second: true }]"
        ),
        stage("command", "run", "action", run="sed -u 's/second/twice/'"),
        stage("action", "uses", "keep", uses="./mark"),
        stage("keep", "python", code=KEEP),
        records={"in": file},
        settings={"workspace": place},
    )
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    odd = [{"id": number} for number in range(1, 3000, 2)]
    kept = read_kept(place)
    assert kept == [{**record, **extra, "by": "action"} for record in odd for extra in ({}, {"twice": True})]


def test_a_secret_is_where_the_config_names_it_and_in_no_log_and_no_dead_letter(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", [{"id": 1}])
    code = """
import os
import re
def handle(record):
    print("printed: ${secret.KEY}", [value for value in os.environ.values() if "hunter" in value])
    raise ValueError("no: ${secrets.KEY} " + repr("${secret.OTHER}"[::-1]))
"""
    report = run_stages(
        tmp_path,
        stage("in", "manual", "code"),
        stage("code", "python", code=code, retry=1),
        records={"in": file},
        secrets={"KEY": "hunter2hunter2", "OTHER": "another secret"},
    )
    assert "printed: *** []" in report.log("stage-1")
    (letter,) = read_letters(tmp_path)
    assert "hunter2" not in json.dumps(letter) + report.log() + report.result.message
    assert str(letter["cause"]).startswith("ValueError: no: *** ")


def test_code_that_is_killed_again_and_again_loses_no_record(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    file = write_records(tmp_path / "records.jsonl", list(range(20_000)))
    code = KEEP + "open('pid', 'w').write(str(os.getpid()))\n"
    flow = (stage("in", "manual", "keep"), stage("keep", "python", "end", code=code), stage("end", "noop"))
    folder, pid = start_stages(tmp_path, *flow, records={"in": file}, settings={"workspace": place})
    for count in range(1000, 17_000, 2000):
        wait_for(lambda count=count: _lines(place) > count, "records")
        with contextlib.suppress(ProcessLookupError, ValueError):  # it is about to be started
            os.kill(int((place / "pid").read_text()), signal.SIGKILL)
    report = finish_job(folder, pid)
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert "the code has ended (SIGKILL" in report.log("stage-1")
    assert set(map(str, read_kept(place))) == set(map(str, range(20_000)))
    assert "20,000 in, 20,000 done" in report.log("stage-2")


def _lines(place: Path) -> int:
    file = place / "kept.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


async def test_a_receiver_that_is_down_at_first_gets_every_record_with_its_key(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", [{"id": number} for number in range(200)])
    async with running_receiver() as receiver:
        receiver.answer = lambda request: Reply(503 if len(receiver.requests) < 300 else 200)
        retry = {"first": 0.05, "most": 0.2}
        send = stage("send", "send", "end", url=receiver.url, headers={"X-Key": "${secret.KEY}"}, retry=retry)
        flow = (stage("in", "manual", "send"), send, stage("end", "noop"))
        folder, pid = start_stages(tmp_path, *flow, records={"in": file}, secrets={"KEY": "hunter2hunter2"})
        report = await asyncio.to_thread(finish_job, folder, pid)
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert {request.header("X-Key") for request in receiver.requests} == {"hunter2hunter2"}
    keys: dict[int, set[str]] = {}
    for request in receiver.requests:
        keys.setdefault(request.json["id"], set()).add(request.header("Idempotency-Key"))
    assert sorted(keys) == list(range(200))
    assert {len(found) for found in keys.values()} == {1}
    assert "hunter2" not in report.log()


async def test_who_asks_to_be_left_alone_is_left_alone_for_so_long(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", [{"id": 1}])
    async with running_receiver() as receiver:
        receiver.replies = [Reply(429, headers={"Retry-After": "2"})]
        came: list[float] = []
        loop = asyncio.get_running_loop()

        def answer(_request: object) -> Reply:
            came.append(loop.time())
            return Reply()

        receiver.answer = answer
        began = loop.time()
        flow = (
            stage("in", "manual", "send"),
            stage("send", "send", url=receiver.url, retry={"first": 0.001}),
        )
        folder, pid = start_stages(tmp_path, *flow, records={"in": file})
        await asyncio.to_thread(finish_job, folder, pid)
    assert came[0] - began >= 2


def test_a_flow_whose_code_can_not_be_loaded_ends_at_its_start_and_says_which_stage(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", [1])
    report = run_stages(
        tmp_path,
        stage("in", "manual", "price"),
        stage("price", "python", code="import no_such_module\n"),
        records={"in": file},
    )
    assert report.conclusion is Conclusion.FAILURE
    assert report.result.message.startswith(
        "stage 'price' can't be opened: the code can't be loaded: ModuleNotFoundError: No module named 'no_such_module'"
    )


def test_datagrams_stream_through_a_flow_until_it_is_told_to_end(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    flow = (stage("in", "udp", "keep", port=0, address="127.0.0.1"), stage("keep", "python", code=KEEP))
    folder, pid = start_stages(tmp_path, *flow, settings={"workspace": place})

    def find_port() -> int:
        said = re.search(r"at 127.0.0.1, port (\d+)", read_report(folder).log())
        return int(said[1]) if said else 0

    wait_for(lambda: find_port() > 0, "the port")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(100):
            sender.sendto(b"not json" if number == 50 else b"%d" % number, ("127.0.0.1", find_port()))
    wait_for(lambda: _lines(place) == 99, "records")
    os.kill(pid, signal.SIGTERM)
    report = finish_job(folder, pid)
    assert report.conclusion is Conclusion.CANCELLED
    assert read_kept(place) == [number for number in range(100) if number != 50]
    (letter,) = read_letters(tmp_path)
    assert (letter["stage"], letter["record"]) == ("in", "not json")
    bookmark = FolderBookmarks(tmp_path / "bookmarks")
    assert asyncio.run(bookmark.take("alone/in", 1)) is not None
