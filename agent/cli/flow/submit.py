"""`agent flow submit`: the flow's text, its inputs and its source go to the server; agents do the rest."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from agent import codec
from agent.cli.client import Client
from agent.cli.flow.code import send_code
from agent.cli.flow.given import Given, write_options
from agent.cli.flow.snapshot import Care, send_snapshot
from agent.cli.flow.source import choose_source
from agent.cli.local_files.called import read_called, shows_jobs
from agent.cli.local_files.checkout import find_code_folder
from agent.cli.local_files.code import reads_repository
from agent.cli.local_files.files import read_event, read_flow, read_lock
from agent.cli.local_files.outputs import warn_of_outputs
from agent.cli.run.follow import follow_run
from agent.cli.terminal.screens import make_screen
from agent.cli.terminal.tables import plain, print_json
from agent.errors import UsageError
from agent.flow.called import link_flow
from agent.flow.model import Flow
from agent.plan.request import doubt_event
from agent.spec.job import Source, SourceKind


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """What the command line said about a run on the server."""

    file: Path
    dialect: str | None = None
    event: str = ""  # its name
    payload: Mapping[str, object] = field(default_factory=dict)
    event_files: tuple[str, ...] = ()  # instead of `payload`, once the flow has been read
    inputs: Mapping[str, object] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  # of this run alone
    variables: Mapping[str, str] = field(default_factory=dict)
    jobs: tuple[str, ...] = ()
    cells: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None
    care: Care = field(default_factory=Care)  # of a snapshot
    hold_seconds: float = 0  # jobs that fail wait for so long for somebody to attach
    give: Callable[[Flow], Given] | None = (
        None  # instead of `inputs` and `secrets`, once the flow has been read
    )
    tag: str = ""  # of the run
    text: str | None = None  # what counts for the file's


def submit_flow(
    client: Client,
    options: SubmitOptions,
    *,
    follow: bool,
    output_format: str,
    out: TextIO,
    log: str = "end",
) -> int:
    """Start the run; with `follow` show it until it ends and give 0 or 1 by its conclusion.

    Raises UsageError for an invalid flow, before anything is sent. Ctrl-C while following leaves the run running.
    """
    parcel = read_parcel(options)
    if options.event_files:
        options = replace(options, payload=_read_payload(parcel.flow, options))
    if doubt := doubt_event(parcel.flow, options.event):
        sys.stderr.write(f"warning: {doubt}\n")
    warn_of_outputs(parcel.flow, options.file)
    if options.give is not None:
        given = options.give(parcel.flow)
        options = replace(options, inputs=given.inputs, secrets=given.secrets)
        added = write_options(parcel.flow, options.jobs, given)
        parcel = read_parcel(options, added) if added else parcel
    started = _start(client, options, parcel)
    run = int(started["run"])
    for warning in started["warnings"]:
        sys.stderr.write(f"warning: {plain(warning)}\n")
    if not follow:
        _say_submitted(started, output_format, out)
        return 0
    if output_format == "text":
        out.write(f"run {run} submitted: {plain(started['url'])}\n")
    screen = make_screen(
        output_format, out, shows_jobs=shows_jobs(parcel.flow), log=log, whole=f"agent run logs {run}"
    )
    conclusion = follow_run(client, run, screen)
    return 0 if conclusion in ("success", "skipped") else 1


def _read_payload(flow: Flow, options: SubmitOptions) -> Mapping[str, object]:
    """The event in the file. Raises UsageError; a flow of stages has records there, which only a run on this machine reads."""
    if any(job.stages for job in flow.jobs.values()):
        raise UsageError(
            "a file of records is brought by a run on this machine alone; on a server records come from the flow's own triggers",
            where=f"--event-file {options.event_files[0]}",
            hint=f"`agent flow run {options.file} --event-file {options.event_files[0]}` runs it here; `agent flow deploy` has"
            " it receive what is sent to a `webhook` trigger",
        )
    return read_event(options.event_files)


def start_run(client: Client, options: SubmitOptions) -> int:
    """Send what the run needs and start it; give its number. Raises as `submit_flow`."""
    return int(_start(client, options, read_parcel(options))["run"])


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent of a flow: the texts that are sent: each was read once, and is what was checked."""

    text: str
    flow: Flow
    called: Mapping[str, str]
    lock: str | None


def read_parcel(options: SubmitOptions, added: Mapping[str, str] | None = None) -> Parcel:
    """All that the run's flow is made of, checked as a whole."""
    read = read_flow(options.file, options.dialect, text=options.text, added=added or {}, warns=added is None)
    lock = read_lock(options.file)
    pins = None if lock is None else lock.pins
    called = read_called(read.flow, options.file, find_pins=lambda _file: pins)
    flow = link_flow(read.flow, called)
    return Parcel(read.text, flow, called, None if lock is None else lock.text)


def _start(client: Client, options: SubmitOptions, parcel: Parcel) -> Mapping[str, Any]:
    """The run that was started, and the address of its page."""
    body = _request(client, options, parcel)
    started: Mapping[str, Any] = client.post(client.in_project("/api/v1/runs"), body)
    if options.tag:
        client.put(f"/api/v1/runs/{started['run']}/tags/{quote(options.tag, safe='')}", {})
    url = started.get("url") or f"{client.url}/status/runs/{started['run']}"
    return {"run": started["run"], "url": url, "warnings": started.get("warnings", [])}


def send_parcel(client: Client, options: SubmitOptions, parcel: Parcel) -> dict[str, Any]:
    """Send the code that goes along; give what says all of it: `flow`, `source` and `lock`."""
    folder = find_code_folder(options.file, is_snapshot=options.source == "snapshot")
    source = choose_source(options.source, folder)
    if options.source is None and source.kind is SourceKind.NONE:
        sys.stderr.write(
            f"no code goes along: {folder} is in no git work tree; --source snapshot sends the folder\n"
        )
    source = _send_source(client, source, folder, options, parcel.flow)
    flow = {
        "file": os.fsencode(options.file).decode("utf-8", "backslashreplace"),  # JSON is UTF-8
        "text": parcel.text,
        "dialect": options.dialect,
        "called": parcel.called,
    }
    return {
        "flow": flow,
        "source": codec.to_json(source),
        **({} if parcel.lock is None else {"lock": parcel.lock}),
    }


def _request(client: Client, options: SubmitOptions, parcel: Parcel) -> dict[str, Any]:
    return {
        **send_parcel(client, options, parcel),
        "event": options.event,
        "event_payload": options.payload,
        "inputs": options.inputs,
        "vars": options.variables,
        **({"secrets": options.secrets} if options.secrets else {}),
        "jobs": options.jobs,
        "matrix": options.cells,
        **({"hold_minutes": options.hold_seconds / 60} if options.hold_seconds else {}),
    }


def _send_source(client: Client, source: Source, folder: Path, options: SubmitOptions, flow: Flow) -> Source:
    """Upload a snapshot when the server does not have it yet; give the source with its digest."""
    if source.kind is not SourceKind.SNAPSHOT:
        return source
    source = replace(source, digest=send_snapshot(client, folder, options.care))
    if not reads_repository(flow):
        return source
    return send_code(client, source, folder, options.care.excluded, shows=options.care.shows)


def _say_submitted(started: Mapping[str, Any], output_format: str, out: TextIO) -> None:
    if output_format == "json":
        print_json(started, out)
    else:
        run = started["run"]
        out.write(f"run {run} submitted: {plain(started['url'])}\n`agent run watch {run}` follows it\n")
