"""`agent flow run`: what the command line said becomes a run on this machine, no server anywhere."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from agent.cli.local_files.called import shows_jobs
from agent.cli.local_files.code import reads_repository
from agent.cli.local_files.files import read_pins
from agent.cli.local_run.interrupts import Interrupts
from agent.cli.local_run.jobs import LocalOptions
from agent.cli.local_run.run import LocalRun
from agent.cli.local_run.run_folders import open_run_folder
from agent.clock import SystemClock
from agent.config import Settings, load_settings
from agent.errors import InterruptedByUserError, UsageError
from agent.flow.model import Flow
from agent.ids import ENTROPY_BYTES, RunId
from agent.job.launch.launcher import EarlySupervisor, make_mask, put_back_left
from agent.plan import RunStart
from agent.plan.request import (
    RunRequest,
    doubt_event,
    doubt_form,
    explain_unset,
    explain_unset_variable,
    list_unset_secrets,
    list_unset_variables,
    make_start,
)
from agent.spec.conventions import JOB_TOKEN, find_event, find_repository, find_server
from agent.spec.job import Source, SourceKind
from agent.spec.outcome import Conclusion

if TYPE_CHECKING:
    from agent.cli.local_run.code import ServedCode
    from agent.cli.terminal.screen import Screen


def run_flow_here(
    flow: Flow,
    options: LocalOptions,
    early: EarlySupervisor,
    output_format: str,
    out: TextIO,
    *,
    log: str = "end",
) -> int:
    """Run `flow` and show it on `out`; give the exit code: 0 success, 1 failure. `early` gets the first job.

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

    @cache
    def open_screen() -> "Screen":
        return _open_screen(flow, options, output_format, out, log)

    settings = load_settings({"actions_url": options.actions_url})
    number = _number_run(flow, settings)
    with ExitStack() as stack:
        folder = stack.enter_context(_run_folder(options))
        request, served = _ask_and_serve(flow, options, number, folder, stack)
        interrupts = stack.enter_context(Interrupts())
        stack.enter_context(_put_back_left(options, open_screen))
        run = LocalRun(
            flow, request, options, settings, folder, open_screen, SystemClock(), interrupts, early, served
        )
        conclusion = run.drive()
        if options.keep:
            open_screen().show({"kind": "warning", "message": f"job folders are kept in {folder}"})
    if interrupts.count:
        raise InterruptedByUserError("interrupted; the jobs were cancelled")
    return 0 if conclusion in (Conclusion.SUCCESS, Conclusion.SKIPPED) else 1


def _open_screen(flow: Flow, options: LocalOptions, output_format: str, out: TextIO, log: str) -> "Screen":
    from agent.cli.terminal.screens import make_screen

    screen = make_screen(output_format, out, shows_jobs=shows_jobs(flow), log=log, whole="--log all")
    if not options.secrets:
        return screen
    from agent.cli.local_run.masked_screen import MaskedScreen

    return MaskedScreen(screen, make_mask(options.secrets.values()))


def _ask_and_serve(
    flow: Flow, options: LocalOptions, number: RunId, folder: Path, stack: ExitStack
) -> "tuple[RunStart, ServedCode | None]":
    """What the planner starts from, and where the code is served, when a job of the flow may ask for it with git."""
    if not reads_repository(flow):
        return _ask(flow, options, Source(SourceKind.FOLDER), number), None
    from agent.cli.local_run.code import commit_code, serve_code  # most local runs serve nothing

    code = commit_code(options.workspace, folder)
    if code is None:
        return _ask(flow, options, Source(SourceKind.FOLDER), number), None
    source = Source(SourceKind.FOLDER, tip=code.tip, default_branch=code.default_branch)
    request = _ask(flow, options, source, number)
    name = find_repository(request.contexts)
    has_token = bool(options.secrets.get(JOB_TOKEN))
    pull = find_event(request.contexts).get("pull_request")
    host = find_server(request.contexts)
    served = serve_code(code, name, folder, pull_request=pull, is_upstreams_token=has_token, host=host)
    return request, stack.enter_context(served)


def _ask(flow: Flow, options: LocalOptions, source: Source, run: RunId) -> RunStart:
    """What the planner starts from; a secret that nobody gave is warned of. Raises UsageError for a wrong input."""
    checkout = options.inquiry.read()
    if checkout:
        source = replace(source, url=checkout.url, ref=checkout.ref, commit=checkout.commit)
    asked = RunRequest(
        event=options.event,
        payload=options.payload,
        inputs=options.inputs,
        vars=options.variables,
        source=source,
        actor=os.environ.get("USER", "local"),
        jobs=options.jobs,
        cells=options.cells,
        pins=read_pins(Path(flow.file)),
    )
    for doubt in (doubt_event(flow, options.event), doubt_form(flow, options.event)):
        sys.stderr.write(f"warning: {doubt}\n" if doubt else "")
    secrets = tuple(options.secrets)
    seed = os.urandom(ENTROPY_BYTES)
    start = make_start(flow, asked, run=run, number=1, seed=seed, secrets=secrets)
    for name, place in list_unset_secrets(flow, asked, secrets).items():
        sys.stderr.write(f"warning: {explain_unset(name, place)}; --secret {name} gives it a value\n")
    for variable, place in list_unset_variables(flow, asked, secrets).items():
        sys.stderr.write(f"warning: {explain_unset_variable(variable, place)}\n")
    return start


def _number_run(flow: Flow, settings: Settings) -> RunId:
    """The number that names the run, and under which later runs find what it keeps; others need none of their own."""
    keeps = any(job.keeps for each in (flow, *flow.called.values()) for job in each.jobs.values())
    if not keeps and not flow.dialect.names_runs:
        return RunId(1)
    from agent.cli.local_run.run_count import count_run

    return RunId(count_run(settings.state_folder))


@contextmanager
def _put_back_left(options: LocalOptions, open_screen: "Callable[[], Screen]") -> Iterator[None]:
    """Before the run and after it, what supervisors that died hold of the workspace's repository is put back."""

    def look() -> None:
        if found := put_back_left(options.workspace.resolve()):
            open_screen().show({"kind": "warning", "message": found})

    look()
    try:
        yield
    finally:
        if options.in_place:
            look()


@contextmanager
def _run_folder(options: LocalOptions) -> Iterator[Path]:
    """A private folder for this run, which the jobs' copies of the workspace fit into."""
    if not options.workspace.is_dir():
        raise UsageError("the workspace is not a folder", where=str(options.workspace))
    with open_run_folder(keep=options.keep) as folder:
        if not options.in_place and folder.is_relative_to(options.workspace.resolve()):
            raise UsageError(
                "the workspace contains the folder for temporary files",
                where=str(options.workspace),
                hint="name another one with --workspace, or set TMPDIR",
            )
        yield folder
