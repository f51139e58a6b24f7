"""The job's data folders, `inputs` and `outputs`, as the machine has them (FLOW_INPUTS, FLOW_OUTPUTS)."""

import os
from pathlib import Path

from _toolkit.step import StepError


def find_data_folder(path: str) -> Path:
    """The folder that `path` names, `outputs/NAME` or one below it. It need not be there."""
    side, _, below = path.strip("/").partition("/")
    root = os.environ.get(f"FLOW_{side.upper()}", "") if side in ("inputs", "outputs") else ""
    parts = below.split("/")
    if not root or not below or any(part in ("", ".", "..") for part in parts):
        raise StepError(f"'{path}' is no folder of the job's data", "it is `outputs/NAME`, or a folder in it")
    found = Path(root, *parts)
    if not Path(os.path.realpath(found)).is_relative_to(os.path.realpath(root)):
        raise StepError(f"'{path}' leads out of the job's data, by a link")
    return found
