"""The repository that a flow's file lies in, and the files that it names there with `./path`."""

from pathlib import Path

from agent.cli.local_files.checkout import find_checkout, folder_of
from agent.cli.local_files.files import read_text
from agent.errors import UsageError
from agent.flow.folders import find_folder


def find_root(file: Path) -> Path:
    """The folder that `./` means in a flow's calls: the top of its work tree, or what stands above a folder that flows lie in."""
    folder = folder_of(file)
    checkout = find_checkout(folder)
    if checkout is not None:
        return checkout.top
    known = find_folder(folder.as_posix())
    return folder if known is None else folder.parents[known.path.count("/")]


def read_local(root: Path, reference: str) -> str | None:
    """The text of a file of the run's own repository; None for a reference to another one."""
    if not reference.startswith("./"):
        return None
    file = (root / reference).resolve()
    if not file.is_relative_to(root.resolve()):
        raise UsageError("the called flow lies outside of the repository", where=reference)
    return read_text(file)
