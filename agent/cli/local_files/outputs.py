"""Outputs that called flows and actions declare, read from the files beside a flow, and what is odd in those actions."""

from pathlib import Path

from agent.cli.local_files.files import warn_of
from agent.cli.local_files.repository import find_root
from agent.errors import AgentError
from agent.flow.members import Declared, check_outputs
from agent.flow.model import Flow, OutputRead, TriggerKind
from agent.flow.problems import Problem


def check_local_outputs(flow: Flow, file: Path) -> list[Problem]:
    """A warning for each output that the flow in `file` reads and that the file behind it does not declare.

    Looks at the called flows that are joined to `flow`, at actions of its own repository (`./path`, `$/path`), and at
    those that come with this product; nothing is fetched, and what isn't at hand or can't be read is passed over.
    """
    if not flow.outputs_read:
        return []
    actions = {read.uses: None for read in flow.outputs_read if not read.is_call}
    declared = {uses: _find_action(uses, find_root(file)) for uses in actions}
    return check_outputs(
        flow.outputs_read,
        lambda read: _find_call(flow, read) if read.is_call else declared[read.uses],
    )


def check_local_actions(flow: Flow, file: Path) -> list[Problem]:
    """A warning for each name that a composite action of the flow's own repository reads and that cannot be there."""
    named = (uses for job in flow.jobs.values() for uses, _ in job.list_uses())
    used = dict.fromkeys(uses for uses in named if uses.startswith(("./", "$/")))
    root = find_root(file) if used else Path()
    return list(dict.fromkeys(problem for uses in used for problem in _check_action(uses, root)))


def _check_action(uses: str, root: Path) -> list[Problem]:
    from agent.resolve import check_manifest

    try:
        found = _find_folder(uses, root)
        return [] if found is None else check_manifest(found[0], _show(found[0]))
    except AgentError:
        return []  # a run will say what is wrong with it, when its step's turn comes


def _show(folder: Path) -> str:
    """A folder as the person at this prompt would name it."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)


def warn_of_outputs(flow: Flow, file: Path) -> None:
    """The same, on standard error."""
    warn_of(check_local_outputs(flow, file))


def _find_call(flow: Flow, read: OutputRead) -> Declared | None:
    called = flow.called.get(read.uses)
    trigger = called.trigger_of(TriggerKind.CALL) if called else None
    return None if trigger is None else Declared(trigger.outputs, is_all=True)


def _find_action(uses: str, root: Path) -> Declared | None:
    from agent.resolve import CompositeRuns, read_manifest

    try:
        found = _find_folder(uses, root)
        if found is None:
            return None
        folder, is_bundled = found
        manifest = read_manifest(folder)
    except AgentError:
        return None  # a run will say what is wrong with it, when its step's turn comes
    return Declared(manifest.outputs, is_all=is_bundled or isinstance(manifest.runs, CompositeRuns))


def _find_folder(uses: str, root: Path) -> tuple[Path, bool] | None:
    """The folder of an action that is at hand, and whether it came with this product."""
    from agent.resolve import (
        RepositoryReference,
        SelfReference,
        WorkspaceReference,
        find_bundled,
        find_folder,
        parse_reference,
    )

    reference = parse_reference(uses)
    if isinstance(reference, WorkspaceReference | SelfReference):
        return find_folder(root, reference.path, uses), False
    bundled = find_bundled(reference) if isinstance(reference, RepositoryReference) else None
    return None if bundled is None else (bundled, True)
