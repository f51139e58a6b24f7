"""Uses of flows, found on this machine: the ground that `agent action lock`, `update`, `verify` and `info` stand on."""

import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agent.cli.local_files.checkout import find_checkout
from agent.cli.local_files.files import load_file
from agent.cli.local_files.repository import find_root, read_local
from agent.config import load_settings
from agent.errors import AgentError, UsageError
from agent.flow.called import load_called
from agent.flow.load import load_flow
from agent.flow.model import Flow
from agent.flow.references import refer
from agent.resolve import ActionStore, Pins, RepositoryReference, Resolver, UrlReference, parse_reference
from agent.resolve.uses import Line, Use


@dataclass(frozen=True, slots=True)
class Context:
    """How flows are read and where actions are looked for."""

    dialect: str | None = None
    workspace: Path | None = None  # None: the work tree around the flow, or its folder outside of git
    actions_url: str | None = None


@contextmanager
def open_resolver(folder: Path, context: Context, pins: Pins) -> Iterator[Resolver]:
    """A resolver for the flows in `folder`, with this machine's store; its copies go when it is closed."""
    settings = load_settings({"actions_url": context.actions_url})
    checkout = find_checkout(folder)
    workspace = context.workspace or (checkout.top if checkout else folder)
    store = ActionStore(settings.work_folder / "_actions", settings.actions_limit_bytes)
    with tempfile.TemporaryDirectory(prefix="flow-actions-", ignore_cleanup_errors=True) as copies:
        yield Resolver(store, settings.actions_urls, workspace, copies=Path(copies), pins=pins)


def read_flows(
    folder: Path, names: Sequence[str], context: Context, resolver: Resolver
) -> tuple[list[tuple[str, Flow]], list[Use]]:
    """The flows with these names in `folder`, with all that they call, each behind its reference (""); and the calls of other repositories.

    A call that can't be followed is a use with a problem. Raises UsageError for a flow that is not valid.
    """
    calls = _Calls(find_root(folder / "flow"), resolver)
    flows: dict[str, Flow] = {}
    roots = []
    for name in names:
        flow = load_file(Path(folder, name), context.dialect)
        roots.append(("", flow))
        texts = load_called(flow, calls.read)
        flows |= {
            reference: load_flow(text, reference, dialect=flow.dialect.name).flow
            for reference, text in texts.items()
        }
    found = [*roots, *flows.items()]
    return found, list(calls.list_uses(found))


def list_lines(flows: Iterable[tuple[str, Flow]]) -> list[Line]:
    """Each `uses:` of the steps of flows, which stand behind their references."""
    return [line for reference, flow in flows for line in _lines_of(reference, flow)]


class _Calls:
    """Reads called flows: those of this repository from the disk, others through git."""

    def __init__(self, root: Path, resolver: Resolver) -> None:
        self._root = root
        self._resolver = resolver
        self._found: dict[str, Use] = {}

    def read(self, reference: str) -> str | None:
        """The text behind `reference`; None where there is none."""
        try:
            text = read_local(self._root, reference)
            if text is not None:
                return text
            parsed = parse_reference(reference)
            if not isinstance(parsed, RepositoryReference | UrlReference):
                raise UsageError("this is no file of a repository")
            file = self._resolver.read_file(parsed)
        except AgentError as error:
            self._found[reference] = Use(reference, "", problem=error)
            return None
        self._found[reference] = Use(reference, "", parsed, file=file)
        return file.text

    def list_uses(self, flows: Sequence[tuple[str, Flow]]) -> Iterator[Use]:
        """What was asked for, each with the place of its first call."""
        places: dict[str, str] = {}
        for caller, flow in flows:
            for job in flow.jobs.values():
                if job.call is not None:
                    places.setdefault(refer(job.call.uses, caller), str(job.position))
        for reference, use in self._found.items():
            yield replace(use, place=places.get(reference, reference))


def group_by_folder(files: Sequence[Path]) -> dict[Path, list[str]]:
    """Flow files by the folder that they, and so their lock, are in."""
    groups: dict[Path, list[str]] = {}
    for file in files:
        groups.setdefault(file.parent, []).append(file.name)
    return groups


def warn(message: str) -> None:
    """A line on standard error."""
    sys.stderr.write(f"warning: {message}\n")


def _lines_of(reference: str, flow: Flow) -> Iterator[Line]:
    for job in flow.jobs.values():
        for written, place in job.list_uses():  # `$/path` is a folder of the flow's own repository
            uses = refer(written, reference) if written.startswith("$/") and reference else written
            yield uses, str(place)
