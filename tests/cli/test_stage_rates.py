"""A flow of stages as it is watched: the graph with what each stage does a second, on a terminal, in a log, for programs."""

import io
import json
from typing import Any

from support.manual_clock import ManualClock

from agent.cli.run.stage_rates import StageRates
from agent.cli.terminal.screen import JsonScreen, TextScreen
from agent.cli.terminal.tree import TreeScreen


def said(second: int, done: int, **more: Any) -> dict[str, Any]:
    def stage(name: str, *out: str, **counts: Any) -> dict[str, Any]:
        zeros = dict.fromkeys(("accepted", "buffered", "done", "filtered", "failed", "retried", "dead"), 0)
        return {**zeros, "name": name, "action": "noop", "out": list(out), "state": "running", **counts}

    stages = [
        stage("in", "big", "all", accepted=done),
        stage("big", "send", filtered=done // 2, done=done - done // 2),
        stage("all", "send", done=done),
        stage("send", done=done, buffered=3, retried=2, dead=1),
    ]
    return {
        "job": "job_1",
        "key": "flow",
        "at": f"2026-11-30T12:00:{second:02}.000Z",
        "stages": stages,
        **more,
    }


def test_what_a_stage_does_a_second_follows_from_what_it_said_before() -> None:
    rates = StageRates()
    first = rates.measure(said(0, 100))
    assert (first["kind"], first["job"]) == ("stages", "flow")
    assert {stage["per_second"] for stage in first["stages"]} == {0.0}
    second = rates.measure(said(4, 300))
    assert {stage["per_second"] for stage in second["stages"]} == {50.0}
    again = rates.measure(said(6, 10))  # another attempt counts from its beginning
    assert {stage["per_second"] for stage in again["stages"]} == {0.0}


def test_the_tree_shows_the_graph_with_its_figures() -> None:
    out, rates = io.StringIO(), StageRates()
    screen = TreeScreen(out, ManualClock(1_800_000_000.0))
    step = {"kind": "step", "job": "flow", "step": "in", "index": 0, "name": "in", "state": "running"}
    screen.show({**step, "outcome": None, "conclusion": None, "parent": None, "time": 1_800_000_000.0})
    rates.measure(said(0, 100))
    screen.show(rates.measure(said(4, 300)))
    lines = list(screen._frame())
    assert "a second" in lines[1]
    assert [line.split()[:4] for line in lines if " running " in line] == [
        ["●", "in", "running", "50"],
        *(["●", "│", "big", "running"], ["│", "●", "all", "running"]),
        ["●", "send", "running", "50"],
    ]
    assert "├─╮" in "\n".join(lines)


def test_a_log_has_a_line_now_and_then_and_programs_get_all() -> None:
    out, rates = io.StringIO(), StageRates()
    screen = TextScreen(out, shows_jobs=False)
    for second, done in ((0, 0), (2, 100), (29, 1000), (32, 1300)):
        screen.show(rates.measure(said(second, done)))
    assert out.getvalue().splitlines() == [
        "in 0/s, big 0/s, all 0/s, send 0/s; 3 buffered, 2 retried, 1 dead",
        "in 100/s, big 100/s, all 100/s, send 100/s; 3 buffered, 2 retried, 1 dead",
    ]
    lines = io.StringIO()
    JsonScreen(lines).show(rates.measure(said(33, 1400)))
    record = json.loads(lines.getvalue())
    assert record["stages"][0]["per_second"] == 100.0
    assert record["stages"][0]["out"] == ["big", "all"]
