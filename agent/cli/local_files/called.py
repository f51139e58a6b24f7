"""The flows that a flow on this machine calls: files of its own repository from the disk, others through git."""

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from agent.cli.local_files.checkout import folder_of
from agent.cli.local_files.files import read_pins
from agent.cli.local_files.repository import find_root, read_local
from agent.errors import UsageError
from agent.flow.called import link_flow, load_called
from agent.flow.model import Flow

ReadPins = Callable[[Path], Mapping[str, str] | None]


def read_called(
    flow: Flow, file: Path, *, actions_url: str | None = None, find_pins: ReadPins = read_pins
) -> Mapping[str, str]:
    """The texts of all flows that the flow in `file` calls, by reference, each read once; and those of its companions.

    `find_pins` gives what the lock beside the file says, for who has read it already. Raises UsageError for one that is not there or not valid, and what the resolver raises for one of another repository.
    """
    if not any(job.call for job in flow.jobs.values()):
        return dict(flow.companions)
    with ExitStack() as stack:
        return load_called(flow, _Reader(file, actions_url, find_pins, stack).read)


def link_called(flow: Flow, file: Path, *, actions_url: str | None = None) -> Flow:
    """The flow in `file`, joined to all that it calls. Raises as `read_called`, and InvalidFlowError."""
    return link_flow(flow, read_called(flow, file, actions_url=actions_url))


def link_local(flow: Flow, file: Path) -> Flow:
    """The flow in `file`, joined to those that it calls in its own repository; others are left out, unasked."""
    if not any(job.call for job in flow.jobs.values()):
        return flow
    root = find_root(file)
    texts = load_called(flow, lambda reference: read_local(root, reference))
    return link_flow(flow, texts, is_partial=True)


def shows_jobs(flow: Flow) -> bool:
    """Whether a run of the flow may have more than one job, so that it must be said whose each line is."""
    return len(flow.jobs) > 1 or any(job.call or job.strategy.matrix for job in flow.jobs.values())


class _Reader:
    """Reads references; what git needs is made when the first of another repository is asked for."""

    def __init__(self, file: Path, actions_url: str | None, find_pins: ReadPins, stack: ExitStack) -> None:
        self._file = file
        self._root = find_root(file)
        self._actions_url = actions_url
        self._find_pins = find_pins
        self._stack = stack

    def read(self, reference: str) -> str:
        text = read_local(self._root, reference)
        return self._read_remote(reference) if text is None else text

    def _read_remote(self, reference: str) -> str:
        from agent.cli.local_files.uses import Context, open_resolver
        from agent.resolve import Pins, RepositoryReference, UrlReference, parse_reference

        parsed = parse_reference(reference)
        if not isinstance(parsed, RepositoryReference | UrlReference):
            raise UsageError("this is no file of a repository", where=reference)
        context = Context(actions_url=self._actions_url)
        folder = folder_of(self._file)
        resolver = self._stack.enter_context(
            open_resolver(folder, context, Pins(self._find_pins(self._file)))
        )
        file = resolver.read_file(parsed)
        for warning in file.warnings:
            sys.stderr.write(f"{reference}: warning: {warning}\n")
        return file.text
