"""create-model registers a folder as a model: a version of a dataset, with its type."""

import json
from pathlib import Path

import pytest

from .conftest import Done, Step


def create(step: Step, datasets: Path, **inputs: object) -> Done:
    (step.folder / "outputs").mkdir(exist_ok=True)
    step.environment |= {
        "FLOW_INPUTS": str(step.folder / "inputs"),
        "FLOW_OUTPUTS": str(step.folder / "outputs"),
        "FLOW_DATASETS": str(datasets),
    }
    return step.run("create-model", **inputs)


@pytest.fixture
def trained(local_step: Step) -> Step:
    folder = local_step.folder / "inputs" / "model" / "deep"
    folder.mkdir(parents=True)
    (folder / "w.bin").write_text("weights")
    return local_step


def test_each_model_is_the_next_version_of_its_name(trained: Step, tmp_path: Path) -> None:
    for number in (1, 2):
        done = create(trained, tmp_path / "datasets", name="digits", type="ONNX")
        assert done.code == 0, done.log
        assert done.outputs == {"model-id": f"digits:{number}"}
        assert (trained.folder / "outputs" / "model-id").read_text() == f"digits:{number}"
    kept = tmp_path / "datasets" / "digits"
    assert (kept / "2" / "deep" / "w.bin").read_text() == "weights"
    assert json.loads((kept / "2.json").read_text())["metadata"] == {"model_type": "ONNX"}


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        ({"name": "digits"}, "a model has a name and a type"),
        ({"name": "digits", "type": "ONNX", "path": "inputs/other"}, "there is no folder 'inputs/other'"),
        ({"name": "digits", "type": "ONNX", "path": "/etc"}, "is no folder of the job's data"),
        ({"name": "No Name", "type": "ONNX"}, "No Name"),
    ],
)
def test_what_is_no_model_says_why(inputs: dict[str, str], error: str, trained: Step, tmp_path: Path) -> None:
    done = create(trained, tmp_path / "datasets", **inputs)
    assert done.code == 1
    assert error in done.error
