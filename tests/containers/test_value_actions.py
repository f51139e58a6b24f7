"""Container actions that take and give values, by a real engine."""

from pathlib import Path
from typing import Any

import pytest
from support.docker import BUSYBOX, connect, leftovers
from support.jobs import JobReport, run_job, script, uses

from agent.job.containers.sweeping import job_labels
from agent.spec.outcome import Conclusion

SAYS = """\
FROM %s
ENTRYPOINT ["sh", "-c", "echo \\"::seen::\\\\\\"$INPUT_TEXT|$INPUT_ARGS|$TOKEN\\\\\\"\\"; echo ::points::$INPUT_POINTS; exit ${INPUT_CODE:-0}"]
"""
MANIFEST = """\
name: Says
inputs: {text: {type: string}, points: {type: array, default: []}, code: {type: integer}, args: {}}
env: {TOKEN: {description: A key.}}
runs: {using: docker, image: Dockerfile}
"""


@pytest.fixture
def run(tmp_path: Path, engine_address: str) -> Any:
    def run_it(*steps: Any, **options: Any) -> JobReport:
        folder = tmp_path / "place" / "says"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "action-datatorch.yaml").write_text(MANIFEST)
        (folder / "Dockerfile").write_text(SAYS % BUSYBOX)
        settings = {"docker_host": engine_address, "workspace": tmp_path / "place"}
        report = run_job(tmp_path, *steps, settings=settings, **options)
        assert leftovers(engine_address, job_labels(report.folder)) == []
        return report

    return run_it


@pytest.mark.parametrize("conventions", ["github", "datatorch"])
def test_a_container_gets_its_inputs_and_secrets_and_its_lines_are_outputs(
    run: Any, conventions: str
) -> None:
    given = {"text": "it's 1", "points": [[1, 2]], "args": "a b"}
    report = run(
        uses("says", "./says", with_=given), conventions=conventions, secrets={"TOKEN": "hunter2hunter2"}
    )
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert report.steps()["says"].outputs == {"seen": "it's 1|a b|***", "points": [[1, 2]]}


def test_its_exit_code_counts(run: Any) -> None:
    report = run(uses("says", "./says", with_={"code": 4}), conventions="datatorch")
    assert report.result.message == "Docker run failed with exit code 4"


def test_a_flow_of_text_reads_what_it_gave_as_text(run: Any) -> None:
    report = run(
        uses("says", "./says", with_={"text": "x", "points": "[1, {}]"}),
        script(
            "reads", "echo '${{ steps.says.outputs.points }}' '${{ fromJSON(steps.says.outputs.points)[0] }}'"
        ),
    )
    assert report.output_of("reads") == ["[1, {}] 1"]


@pytest.mark.parametrize("prefix", ["", "docker://"])
def test_an_image_is_named_in_either_form(run: Any, tmp_path: Path, engine_address: str, prefix: str) -> None:
    folder = tmp_path / "place" / "plain"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text(SAYS % BUSYBOX)
    name = "flow-test/says:1"
    client = connect(engine_address)
    assert list(client.build(path=str(folder), tag=name, rm=True))
    (folder / "action-datatorch.yaml").write_text(
        f"name: P\nruns: {{using: docker, image: '{prefix}{name}'}}\n"
    )
    report = run(uses("plain", "./plain", with_={"points": [3]}), conventions="datatorch")
    client.remove_image(name)
    client.close()
    assert report.steps()["plain"].outputs == {"seen": "||", "points": [3]}, report.log()
