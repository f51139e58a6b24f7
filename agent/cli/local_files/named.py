"""A flow by its name: a file, a file of a folder that flows lie in, or a workflow of one of those."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.cli.local_files.files import open_companions, read_text
from agent.cli.local_files.repository import find_root
from agent.cli.terminal.spelling import find_meant
from agent.errors import UsageError
from agent.flow.folders import FLOW_FOLDERS, find_dialect, is_flow_file, name_files


@dataclass(frozen=True, slots=True)
class NamedFlow:
    """A flow's file, and the job of it that was named; empty: the file was. `text`: what counts for the file's."""

    file: Path
    job: str = ""
    text: str | None = None


def find_flow(name: str) -> NamedFlow:
    """The flow that `name` means here: in this folder, or in the work tree around it.

    Raises UsageError where nothing has that name, and InvalidFlowError of a file that may have it and can't be read as one.
    """
    file = Path(name)
    if file.exists() or file.suffix or len(file.parts) > 1:
        return NamedFlow(file)
    places = dict.fromkeys((Path(), _shorten(find_root(file))))
    files = [place / path for place in places for path in name_files(name)[1:] if (place / path).is_file()]
    for file in files:
        if not find_dialect(file.as_posix()):
            return NamedFlow(file)
    known: list[str] = []
    for place in places:
        for found in _list_chosen(place):
            if found.job == name:
                return found
            known.append(found.job)
    if files:
        return NamedFlow(files[0])
    meant = find_meant(name, known)
    hint = f"did you mean {meant}?" if meant else f"there is {', '.join(known[:12])}" if known else ""
    raise UsageError(f"there is no flow '{name}' here", where=str(Path.cwd()), hint=hint or "name its file")


def make_flow(provider: str, subject: str, command: str) -> NamedFlow:
    """A flow of one job that the provider makes of the words of a command line, as if it were a file of this folder's."""
    from agent.flow.load import find_providing

    write = find_providing().write_alone
    assert write is not None
    folder = Path(".dstack")
    file = (folder if folder.is_dir() else Path()) / "command-line.yaml"
    return NamedFlow(file, provider, write(provider, subject, command))


def _list_chosen(root: Path) -> Iterator[NamedFlow]:
    """The jobs of the flows below `root` that start chosen jobs, in the order in which they count."""
    from agent.flow.load import inspect_flow
    from agent.flow.model import Starts
    from agent.flow.problems import InvalidFlowError

    for folder in FLOW_FOLDERS:
        for file in sorted((root / folder.path).glob("*")) if folder.dialect else ():
            if not (file.is_file() and is_flow_file(file.as_posix())):
                continue
            flow, problems = inspect_flow(read_text(file), str(file), None, open_companions(file))
            if flow is None:
                raise InvalidFlowError(str(file), problems)
            for job in flow.jobs.values() if flow.starts is Starts.CHOSEN else ():
                if job.position.file == str(file):  # what it needs of others is theirs
                    yield NamedFlow(file, job.id)


def _shorten(root: Path) -> Path:
    """Relative where that is shorter to read."""
    here = Path.cwd()
    return root.relative_to(here) if root.is_relative_to(here) else root
