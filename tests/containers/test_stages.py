"""Container actions as stages, by a real engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.docker import BUSYBOX, leftovers
from support.jobs import write_action
from support.stages import Bench, make_bench, work

from agent.errors import AgentError
from agent.job.containers.sweeping import job_labels
from agent.job.stages.actions import uses


@pytest.fixture
async def bench(tmp_path: Path, engine_address: str) -> AsyncIterator[Bench]:
    made = make_bench(tmp_path, docker_host=engine_address)
    yield made
    if made.job.containers.engine is not None:
        await made.job.containers.engine.close()


@pytest.mark.parametrize("last", ["null", "end"])
async def test_a_container_action_stays_up_and_answers_records(
    bench: Bench, engine_address: str, last: str
) -> None:
    write_action(
        bench.workspace,
        "mark",
        "name: mark\ninputs: {mark: {default: none}}\nruns: {using: docker, image: Dockerfile, args: ['${{ inputs.mark }}'], env: {OWN: own}}\n",
        Dockerfile=f'FROM {BUSYBOX}\nCOPY main.sh /\nENTRYPOINT ["/bin/sh", "/main.sh"]\n',
        main_sh="while read -r line; do\n"
        '  case "$line" in *end*) echo over >&2; exit 5;; esac\n'
        '  echo "{\\"was\\": $line, \\"mark\\": \\"$1 $INPUT_MARK $OWN\\"}"\ndone\n',
    )
    stage = await bench.open(uses.make, {"mark": "x"}, uses="./mark")
    done = await work(stage, {"a": 1}, last, 3)
    await stage.close()
    own = {"mark": "x x own"}
    expected = [{"was": {"a": 1}, **own}, {"was": 3, **own}]
    if last == "null":
        assert list(done.values) == [expected[0], {"was": "null", **own}, expected[1]]
    else:
        assert list(done.values) == expected
        assert str(done.failed[1]) == (
            "the action ended before it answered this record (exit code 5); its last line was: over"
        )
    assert leftovers(engine_address, job_labels(bench.job.folder)) == []


async def test_an_image_is_a_stage(bench: Bench, engine_address: str) -> None:
    script = 'while read -r line; do echo "[$line, $line]"; done'
    config = {"entrypoint": "/bin/sh", "args": f"-c '{script}'", "timeout": 20}
    stage = await bench.open(uses.make, config, uses=f"docker://{BUSYBOX}")
    done = await work(stage, *range(500))
    await stage.close()
    assert list(done.values) == [number for number in range(500) for _ in range(2)]
    assert leftovers(engine_address, job_labels(bench.job.folder)) == []


async def test_an_image_that_is_nowhere_ends_the_flow_at_its_start(bench: Bench) -> None:
    with pytest.raises(AgentError):
        await bench.open(uses.make, {}, uses="docker://127.0.0.1:9/none:1")
