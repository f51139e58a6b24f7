"""Code stages: Python and JavaScript of the user's, in processes of their own."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from support.stages import Bench, make_bench, work
from support.wheels import make_wheel

from agent.errors import AgentError
from agent.job.stages.actions import javascript, python
from agent.job.stages.stage import MakeStage


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path)


IDENTITY = "def handle(record):\n    return record\n"
POISON = """
import os, signal
def handle(record):
    if record == "poison":
        os.kill(os.getpid(), signal.SIGKILL)
    return [record, os.getpid()] if record == "who" else record
"""
JS_POISON = """
module.exports = (record) => {
  if (record === 'poison') process.kill(process.pid, 'SIGKILL')
  return record === 'who' ? [record, process.pid] : record
}
"""


async def test_a_record_is_one_dropped_or_several_by_what_python_gives(bench: Bench) -> None:
    code = """
def handle(record):
    match record:
        case "drop":
            return None
        case "list":
            return [1, 2]
        case "generator":
            return (number for number in (3, 4))
        case "list in a list":
            return [[5]]
    return {"was": record}
"""
    stage = await bench.open(python.make, {"code": code})
    done = await work(stage, "a", "drop", "list", "generator", "list in a list", None)
    await stage.close()
    assert list(done.values) == [{"was": "a"}, 1, 2, 3, 4, [5], {"was": None}]
    assert list(done.sources or ()) == [0, 2, 2, 3, 3, 4, 5]
    assert not done.failed


async def test_a_record_is_one_dropped_or_several_by_what_javascript_gives(bench: Bench) -> None:
    code = """
export default (record) => {
  switch (record) {
    case 'drop': return null
    case 'nothing': return
    case 'list': return [1, 2]
    case 'generator': return (function* () { yield 3; yield 4 })()
    case 'list in a list': return [[5]]
    case 'text': return 'text'
  }
  return { was: record }
}
"""
    stage = await bench.open(javascript.make, {"code": code})
    done = await work(stage, "a", "drop", "nothing", "list", "generator", "list in a list", "text")
    await stage.close()
    assert list(done.values) == [{"was": "a"}, 1, 2, 3, 4, [5], "text"]
    assert list(done.sources or ()) == [0, 3, 3, 4, 4, 5, 6]


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (
            python.make,
            "import asyncio\nasync def handle(record):\n    await asyncio.sleep(0)\n    return record + 1\n",
        ),
        (python.make, "async def handle(record):\n    yield record + 1\n"),
        (python.make, "def handle_batch(records):\n    return [record + 1 for record in records]\n"),
        (javascript.make, "export default async (record) => record + 1"),
        (javascript.make, "export default async function* (record) { yield record + 1 }"),
        (javascript.make, "exports.handle = (record) => record + 1"),
        (javascript.make, "module.exports = (record) => record + 1"),
    ],
)
async def test_code_may_be_asynchronous_and_take_its_records_as_it_likes(
    bench: Bench, make: MakeStage, code: str
) -> None:
    stage = await bench.open(make, {"code": code})
    done = await work(stage, *range(1000))
    await stage.close()
    assert list(done.values) == list(range(1, 1001))


async def test_what_is_thrown_is_the_records_failure_with_its_last_lines(bench: Bench) -> None:
    code = (
        "def price(record):\n    return record['total'] * 2\ndef handle(record):\n    return price(record)\n"
    )
    stage = await bench.open(python.make, {"code": code})
    done = await work(stage, {"total": 1}, {}, {"total": 2})
    await stage.close()
    assert list(done.values) == [2, 4]
    message = str(done.failed[1])
    assert message.startswith("KeyError: 'total'")
    assert "File \"code of work\", line 2, in price\n    return record['total'] * 2" in message
    assert "python_program" not in message
    assert not done.failed[1].is_final


async def test_what_javascript_throws_is_the_records_failure(bench: Bench) -> None:
    code = (
        "export default (record) => {\n  if (!record) throw new RangeError('no record')\n  return record\n}"
    )
    stage = await bench.open(javascript.make, {"code": code})
    done = await work(stage, 1, 0)
    await stage.close()
    assert str(done.failed[1]).startswith("RangeError: no record\n    at ")
    assert "code of work:2:" in str(done.failed[1])
    assert "node_program" not in str(done.failed[1])


async def test_code_says_that_a_failure_is_final(bench: Bench) -> None:
    code = "class Bad(Exception):\n    final = True\ndef handle(record):\n    raise Bad('never')\n"
    stage = await bench.open(python.make, {"code": code})
    done = await work(stage, 1)
    await stage.close()
    assert done.failed[0].is_final


async def test_what_has_no_json_is_one_records_failure(bench: Bench) -> None:
    code = """
def handle(record):
    return {"nan": float("nan"), "set": {1}, "deep": deep(), "large": "x" * (17 << 20), "half": "\\ud800"}.get(record, record)
def deep():
    value = []
    for _ in range(100_000):
        value = {"in": value}
    return value
"""
    stage = await bench.open(python.make, {"code": code})
    done = await work(stage, "a", "nan", "set", "deep", "large", "half", "b")
    await stage.close()
    assert list(done.values) == ["a", "\ud800", "b"]
    assert {place: str(error).partition(":")[0] for place, error in done.failed.items()} == {
        1: "what the code gave is no JSON",
        2: "what the code gave is no JSON",
        3: "what the code gave is no JSON",
        4: "what the code gave is larger than 16 MiB",
    }


@pytest.mark.parametrize(("make", "code"), [(python.make, POISON), (javascript.make, JS_POISON)])
async def test_a_record_that_kills_the_code_twice_is_a_dead_letter_and_its_neighbours_are_not_harmed(
    bench: Bench, make: MakeStage, code: str
) -> None:
    stage = await bench.open(make, {"code": code})
    records = [f"record {number}" for number in range(600)]
    records[300] = records[450] = "poison"
    done = await work(stage, *records)
    await stage.close()
    assert list(done.values) == [record for record in records if record != "poison"]
    assert sorted(done.failed) == [300, 450]
    assert all(error.is_final for error in done.failed.values())
    assert "the code ended twice at this record (SIGKILL)" in str(done.failed[300])
    assert "the code has ended (SIGKILL" in bench.log


async def test_code_that_is_killed_while_it_is_idle_is_started_again(bench: Bench) -> None:
    stage = await bench.open(python.make, {"code": POISON})
    (_, pid) = (await work(stage, "who")).values
    os.kill(int(str(pid)), signal.SIGKILL)
    (_, other) = (await work(stage, "who")).values
    await stage.close()
    assert other != pid


async def test_a_record_that_is_never_answered_fails_and_the_others_go_on(bench: Bench) -> None:
    code = "import time\ndef handle(record):\n    while record == 'stuck':\n        time.sleep(60)\n    return record\n"
    stage = await bench.open(python.make, {"code": code, "timeout": 0.5})
    done = await work(stage, "a", "stuck", "b")
    await stage.close()
    assert list(done.values) == ["a", "b"]
    assert str(done.failed[1]) == "the code gave no answer within 0.5 s for this record"
    assert not done.failed[1].is_final


async def test_slow_records_each_have_their_own_time(bench: Bench) -> None:
    code = "import time\ndef handle(record):\n    time.sleep(0.3)\n    return record\n"
    stage = await bench.open(python.make, {"code": code, "timeout": 1})
    done = await work(stage, *range(6))
    await stage.close()
    assert list(done.values) == list(range(6))
    assert bench.said == []


async def test_what_code_prints_is_the_stages_log(bench: Bench) -> None:
    code = """
import os, subprocess, sys
def handle(record):
    print("printed", record)
    print("an error", file=sys.stderr)
    subprocess.run(["echo", "of a child"])
    os.write(1, b"written")
    return record
"""
    stage = await bench.open(python.make, {"code": code})
    done = await work(stage, 1)
    await stage.close()
    assert list(done.values) == [1]
    assert {"printed 1", "an error", "of a child", "written"} <= set(bench.log.split("\n"))


async def test_code_sees_a_steps_environment_and_no_secret_of_the_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_AGENT", "1")
    bench.job.secrets = {"KEY": "hunter2"}
    code = "import os\ndef handle(record):\n    return dict(os.environ) | {'cwd': os.getcwd()}\n"
    stage = await bench.open(python.make, {"code": code})
    (env,) = (await work(stage, 1)).values
    await stage.close()
    assert isinstance(env, dict)
    assert env["cwd"] == env["GITHUB_WORKSPACE"] == str(bench.workspace)
    assert env["RUNNER_TRACKING_ID"] == bench.job.folder.tracking_id
    assert "OF_THE_AGENT" not in env
    assert "hunter2" not in env.values()


async def test_a_file_of_the_workspace_imports_what_lies_beside_it(bench: Bench) -> None:
    folder = bench.workspace / "stages"
    folder.mkdir()
    (folder / "prices.py").write_text("FACTOR = 3\n")
    (folder / "work.py").write_text("import prices\ndef handle(record):\n    return record * prices.FACTOR\n")
    stage = await bench.open(python.make, {"file": "stages/work.py"})
    done = await work(stage, 2)
    await stage.close()
    assert list(done.values) == [6]


async def test_requirements_are_installed_for_the_code(bench: Bench, tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "factors", "1", {"factors.py": "FACTOR = 7\n"}, {})
    offered = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "wheels")}
    bench.job.environment.granted = {**bench.job.environment.granted, **offered}
    code = "import factors\ndef handle(record):\n    return record * factors.FACTOR\n"
    stage = await bench.open(python.make, {"code": code, "requirements": ["factors"]})
    done = await work(stage, 2)
    await stage.close()
    assert list(done.values) == [14]


@pytest.mark.parametrize(
    ("make", "config", "said"),
    [
        (python.make, {}, "a code stage needs `code` or `file`"),
        (python.make, {"code": "x", "file": "y"}, "a code stage needs `code` or `file`"),
        (python.make, {"file": "none.py"}, "there is no file 'none.py' in the workspace"),
        (python.make, {"file": "../../etc/passwd"}, "lies outside of the workspace"),
        (
            python.make,
            {"code": "def handle(:"},
            "the code can't be loaded: SyntaxError: invalid syntax (code.py, line 1)",
        ),
        (python.make, {"code": "x = 1"}, "the code defines no function `handle(record)`"),
        (python.make, {"code": "import sys; sys.exit(3)"}, "the code can't be loaded: SystemExit: 3"),
        (python.make, {"code": "import os; os._exit(3)"}, "the code ended while it was loaded (exit code 3)"),
        (python.make, {"code": IDENTITY, "timeout": 0}, "`timeout` is a number of seconds above 0"),
        (javascript.make, {"code": "const x = 1"}, "the code exports no function"),
        (javascript.make, {"code": "export default ("}, "the code can't be loaded: SyntaxError"),
    ],
)
async def test_code_that_can_not_be_used_ends_the_flow_at_its_start_with_a_sentence(
    bench: Bench, make: MakeStage, config: dict[str, object], said: str
) -> None:
    with pytest.raises(AgentError) as caught:
        await bench.open(make, config)
    assert said in str(caught.value)


async def test_batches_that_are_at_work_together_have_a_process_each(bench: Bench) -> None:
    stage = await bench.open(python.make, {"code": POISON})
    both = await asyncio.gather(work(stage, "who"), work(stage, "who"))
    await stage.close()
    assert len({str(done.values[1]) for done in both}) == 2


async def test_nothing_is_left_of_a_closed_stage(bench: Bench) -> None:
    code = """
import os, subprocess
child = subprocess.Popen(["sleep", "1000"])
def handle(record):
    return [os.getpid(), child.pid]
"""
    stage = await bench.open(python.make, {"code": code})
    pids = (await work(stage, 1)).values
    await stage.close()
    assert [
        pid
        for pid in pids
        if Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()
    ] == []


async def test_code_that_breaks_its_own_line_fails_its_record_and_is_started_again(bench: Bench) -> None:
    code = "import os\ndef handle(record):\n    if record == 'garble':\n        os.write(3, b'\\xff' * 8)\n    return record\n"
    stage = await bench.open(python.make, {"code": code})
    done = await work(stage, "a", "garble", "b")
    await stage.close()
    assert list(done.values) == ["a", "b"]
    assert str(done.failed[1]).startswith(
        "the code ended twice at this record (it can't be understood any more)"
    )
