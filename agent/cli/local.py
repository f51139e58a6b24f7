"""`agent flow run`: what the command line said becomes a run on this machine, no server anywhere."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from agent.cli.interrupts import Interrupts
from agent.cli.local_run import LocalOptions, LocalRun
from agent.cli.screen import JsonScreen, TextScreen
from agent.cli.source import find_checkout
from agent.clock import SystemClock
from agent.config import load_settings
from agent.errors import InterruptedByUserError, UsageError
from agent.flow.inputs import resolve_inputs
from agent.flow.model import Flow
from agent.ids import ENTROPY_BYTES, RunId
from agent.plan import RunRequest
from agent.plan.github_context import make_github_context
from agent.plan.secret_names import named_secrets
from agent.spec.job import Source, SourceKind
from agent.spec.outcome import Conclusion


def run_flow_here(flow: Flow, options: LocalOptions, output_format: str, out: TextIO) -> int:
    """Run `flow` and show it on `out`; give the exit code: 0 success, 1 failure.

    Raises UsageError before anything starts when an input, secret or folder is wrong, and InterruptedByUserError
    after the jobs have ended when the user pressed ctrl-C.
    """
    for label, image in options.images.items():
        if image != "host":
            raise UsageError(
                f"this version can't run label '{label}' in an image yet",
                where="--image",
                hint=f"{label}=host",
            )
    screen = JsonScreen(out) if output_format == "json" else TextScreen(out, shows_jobs=len(flow.jobs) > 1)
    settings = load_settings({"actions_url": options.actions_url})
    request = make_request(flow, options)
    with _run_folder(options) as folder, Interrupts() as interrupts:
        run = LocalRun(flow, request, options, settings, folder, screen, SystemClock(), interrupts)
        conclusion = run.drive()
        if options.keep:
            screen.show({"kind": "warning", "message": f"job folders are kept in {folder}"})
    if interrupts.count:
        raise InterruptedByUserError("interrupted; the jobs were cancelled")
    return 0 if conclusion in (Conclusion.SUCCESS, Conclusion.SKIPPED) else 1


def make_request(flow: Flow, options: LocalOptions) -> RunRequest:
    """What the planner starts from. Raises UsageError for a wrong input or a secret that nobody gave."""
    for name, place in named_secrets(flow).items():
        if name.upper() not in {given.upper() for given in options.secrets}:
            raise UsageError(f"secret {name} has no value", where=place, hint=f"--secret {name}")
    inputs, problems = resolve_inputs(flow.trigger(options.event_name), options.inputs)
    if problems:
        raise UsageError("; ".join(problems), where=flow.file)
    checkout = find_checkout(options.workspace)
    source = Source(SourceKind.FOLDER)
    if checkout:
        source = replace(source, url=checkout.url, ref=checkout.ref, commit=checkout.commit)
    run = RunId(1)
    github = make_github_context(
        run=run,
        number=1,
        attempt=1,
        flow_name=flow.title,
        flow_file=flow.file,
        event_name=options.event_name,
        event=options.event,
        source=source,
        actor=os.environ.get("USER", "local"),
    )
    return RunRequest(
        run,
        number=1,
        seed=os.urandom(ENTROPY_BYTES),
        github=github,
        inputs=inputs,
        vars=options.variables,
        secrets=tuple(options.secrets),
        source=source,
        only_jobs=options.jobs,
        only_cells=options.cells,
    )


@contextmanager
def _run_folder(options: LocalOptions) -> Iterator[Path]:
    """A private folder for this run; removed afterwards unless it is to be kept."""
    if not options.workspace.is_dir():
        raise UsageError("the workspace is not a folder", where=str(options.workspace))
    folder = Path(tempfile.mkdtemp(prefix="flow-run-")).resolve()
    try:
        if not options.in_place and folder.is_relative_to(options.workspace.resolve()):
            raise UsageError(
                "the workspace contains the folder for temporary files",
                where=str(options.workspace),
                hint="name another one with --workspace, or set TMPDIR",
            )
        yield folder
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
