"""Stages that are commands and actions: a record a line in, a line a record out."""

import asyncio
from pathlib import Path

import pytest
from support.jobs import write_action
from support.stages import Bench, make_bench, work

from agent.errors import AgentError
from agent.job.stages.actions import run, uses


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path)


FOREVER = "import json, sys\nfor line in sys.stdin:\n    record = json.loads(line)\n"


async def test_a_command_answers_each_line_with_a_line(bench: Bench) -> None:
    code = (
        FOREVER
        + """
    if record == "drop": print("null")
    elif record == "several": print('[1, "two", {"three": 3}]')
    elif record == "none": print("[]")
    elif record == "fail": print('{"$error": "no such thing"}')
    else: print(json.dumps({"was": record}))
"""
    )
    (bench.workspace / "work.py").write_text(code)
    stage = await bench.open(run.make, {"run": "exec python3 work.py"})
    done = await work(stage, {"a": 1}, "drop", "several", "none", "fail", ["b"])
    await stage.close()
    assert list(done.values) == [{"was": {"a": 1}}, 1, "two", {"three": 3}, {"was": ["b"]}]
    assert list(done.sources or ()) == [0, 2, 2, 2, 5]
    assert {place: str(error) for place, error in done.failed.items()} == {4: "no such thing"}


async def test_lines_that_are_no_answers_are_the_stages_log(bench: Bench) -> None:
    code = (
        FOREVER
        + """
    print("working on it"); print(5); print("true"); print("{not json}"); print("an error", file=sys.stderr)
    print(line, end="")
"""
    )
    (bench.workspace / "work.py").write_text(code)
    stage = await bench.open(run.make, {"run": "python3 work.py"})
    done = await work(stage, {"a": 1})
    await stage.close()
    assert list(done.values) == [{"a": 1}]
    assert {"working on it", "5", "true", "{not json}", "an error"} <= set(bench.log.split("\n"))


async def test_a_filter_of_the_shell_is_a_stage(bench: Bench) -> None:
    stage = await bench.open(run.make, {"run": "sed -u 's/small/large/'"})
    done = await work(stage, *({"size": "small", "number": number} for number in range(1000)))
    await stage.close()
    assert list(done.values) == [{"size": "large", "number": number} for number in range(1000)]


async def test_a_command_that_ends_well_is_started_again_and_loses_nothing(bench: Bench) -> None:
    stage = await bench.open(run.make, {"run": "sed -u 3q"})
    done = await work(stage, *({"number": number} for number in range(10)))
    await stage.close()
    assert list(done.values) == [{"number": number} for number in range(10)]
    assert not done.failed
    assert "the command has ended (exit code 0, 7 records unanswered); it is started again" in bench.said


async def test_a_command_that_fails_fails_the_record_that_it_was_at(bench: Bench) -> None:
    code = (
        FOREVER
        + """
    if record["number"] == 5:
        print("no fives", file=sys.stderr)
        sys.exit(3)
    print(line, end="")
"""
    )
    (bench.workspace / "work.py").write_text(code)
    stage = await bench.open(run.make, {"run": "python3 work.py"})
    done = await work(stage, *({"number": number} for number in range(10)))
    await stage.close()
    assert list(done.values) == [{"number": number} for number in range(10) if number != 5]
    assert {place: str(error) for place, error in done.failed.items()} == {
        5: "the command ended before it answered this record (exit code 3); its last line was: no fives"
    }
    assert not done.failed[5].is_final


async def test_a_command_that_never_answers_fails_its_record(bench: Bench) -> None:
    stage = await bench.open(run.make, {"run": "exec sleep 1000", "timeout": 0.3})
    done = await work(stage, 1)
    await stage.close()
    assert str(done.failed[0]) == "the command gave no answer within 0.3 s for this record"


async def test_a_command_that_can_not_do_anything_fails_all_records_for_now_and_not_one_by_one(
    bench: Bench,
) -> None:
    stage = await bench.open(run.make, {"run": "echo wrong use >&2; exit 2"})
    done = await work(stage, *range(500))
    await stage.close()
    assert len(done.failed) == 500
    assert not any(error.is_final for error in done.failed.values())
    assert str(done.failed[499]) == (
        "the command was started 6 times, and answered nothing (exit code 2); its last line was: wrong use"
    )


async def test_a_command_has_its_env_and_its_shell(bench: Bench) -> None:
    code = 'while read -r line; do echo "{\\"said\\": \\"$SAID\\", \\"shell\\": \\"$0\\"}"; done'
    stage = await bench.open(run.make, {"run": code, "shell": "sh", "env": {"SAID": "hello"}})
    (answer,) = (await work(stage, 1)).values
    await stage.close()
    assert isinstance(answer, dict)
    assert answer["said"] == "hello"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "a `run` stage needs `run`"),
        ({"run": "cat", "shell": "fish"}, "there is no shell 'fish' on this machine"),
        ({"run": "cat", "env": "A=1"}, "`env` is a mapping"),
    ],
)
async def test_a_command_that_can_not_be_used_ends_the_flow_at_its_start(
    bench: Bench, config: dict[str, object], said: str
) -> None:
    with pytest.raises(AgentError) as caught:
        await bench.open(run.make, config)
    assert said in str(caught.value)


NODE = """
name: Mark
inputs: {mark: {default: none}, Secret: {}}
runs: {using: node20, main: main.js}
"""
NODE_MAIN = """
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  console.log('at work')
  console.log(JSON.stringify({ ...JSON.parse(line), mark: process.env.INPUT_MARK, secret: process.env.INPUT_SECRET }))
})
"""


async def test_an_action_of_node_is_a_stage_with_its_inputs(bench: Bench) -> None:
    write_action(bench.workspace, "mark", NODE, main_js=NODE_MAIN)
    config = {"SECRET": "${{ secrets.KEY }} as it is", "timeout": 20}
    stage = await bench.open(uses.make, config, uses="./mark")
    done = await work(stage, {"a": 1}, {"a": 2})
    await stage.close()
    own = {"mark": "none", "secret": "${{ secrets.KEY }} as it is"}
    assert list(done.values) == [{"a": 1, **own}, {"a": 2, **own}]
    assert bench.said.count("at work") == 2


async def test_an_action_of_python_is_a_stage(bench: Bench) -> None:
    manifest = "name: Count\nruns: {using: python, main: main.py}\n"
    write_action(
        bench.workspace, "count", manifest, main_py=FOREVER + "    print(json.dumps([record, record]))\n"
    )
    stage = await bench.open(uses.make, {}, uses="./count")
    done = await work(stage, 1, 2)
    await stage.close()
    assert list(done.values) == [1, 1, 2, 2]


async def test_a_composite_action_is_refused_with_a_sentence(bench: Bench) -> None:
    manifest = "name: Steps\nruns: {using: composite, steps: [{run: echo, shell: bash}]}\n"
    write_action(bench.workspace, "steps", manifest)
    with pytest.raises(AgentError, match=r"'\./steps' can't be a stage"):
        await bench.open(uses.make, {}, uses="./steps")


async def test_a_command_that_closes_its_output_has_ended(bench: Bench) -> None:
    stage = await bench.open(run.make, {"run": "exec sleep 1000 >&- 2>&-"})
    done = await work(stage, 1)
    await stage.close()
    assert str(done.failed[0]) == "the command ended before it answered this record (it closed its output)"


async def test_a_command_with_more_answers_than_records_is_told_of_and_started_again(bench: Bench) -> None:
    stage = await bench.open(run.make, {"run": "while read -r line; do echo '[1]'; echo '[2]'; done"})
    done = await work(stage, "a")
    while "there were more answers than records" not in bench.log:
        await asyncio.sleep(0)
    again = await work(stage, "b")
    await stage.close()
    assert (list(done.values), list(again.values)) == ([1], [1])
    assert "it can't be understood any more" in bench.log
