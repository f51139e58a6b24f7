"""Register a folder of the job's data as a model: a version of the dataset of the model's name, whose facts say its type."""

import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # an action leaves nothing in its folder
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _toolkit.data_folders import find_data_folder
from _toolkit.datasets import open_datasets
from _toolkit.step import StepError, get_input, human, run, say, set_output
from _toolkit.trees import scan_tree

OUTPUT = "model-id"


def main() -> None:
    """The model's files are the dataset's; what the server has of them already is not sent again."""
    name, kind = get_input("name"), get_input("type")
    if not name or not kind:
        raise StepError("a model has a name and a type", "give the inputs `name` and `type`")
    folder = find_data_folder(get_input("path", "inputs/model"))
    if not folder.is_dir():
        raise StepError(
            f"there is no folder '{get_input('path', 'inputs/model')}'", "the job has no input `model`"
        )
    tree = scan_tree(folder, str(folder), keeps_links=False)
    datasets = open_datasets()
    staged = datasets.stage(name, tree, f"model {name}", {"model_type": kind})
    (model,) = datasets.commit([staged])
    set_output(OUTPUT, model)
    outputs = os.environ.get("FLOW_OUTPUTS", "")
    if outputs:
        Path(outputs, OUTPUT).write_text(model, encoding="utf-8")
    say(f"model {model} ({kind}): {tree.describe()}, {human(tree.size)}")


run(main)
