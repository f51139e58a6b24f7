"""What flows use, found on this machine: the ground that `agent action lock`, `update`, `verify` and `info` stand on."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.cli.checkout import find_checkout
from agent.cli.files import load_file
from agent.config import load_settings
from agent.flow.model import Flow
from agent.resolve import ActionStore, Pins, Resolver
from agent.resolve.uses import Line


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


def list_lines(folder: Path, flows: Sequence[str], context: Context) -> list[Line]:
    """Each `uses:` of the flows with these names in `folder`. Raises UsageError for one that is not valid."""
    return [line for name in flows for line in _lines_of(load_file(Path(folder, name), context.dialect))]


def group_by_folder(files: Sequence[Path]) -> dict[Path, list[str]]:
    """Flow files by the folder that they, and so their lock, are in."""
    groups: dict[Path, list[str]] = {}
    for file in files:
        groups.setdefault(file.parent, []).append(file.name)
    return groups


def warn(message: str) -> None:
    """A line on standard error."""
    sys.stderr.write(f"warning: {message}\n")


def _lines_of(flow: Flow) -> Iterator[Line]:
    for job in flow.jobs.values():
        for step in job.steps:
            for each in (step, *step.children):
                if each.uses:
                    yield each.uses, str(each.position)
