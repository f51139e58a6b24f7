"""`agent flow`: validate, show, eval, schema, run here, submit to the server."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.arguments import (
    FlowParser,
    add_command,
    add_format,
    add_hold,
    add_inputs,
    add_project,
    add_server,
    add_subcommands,
    describe,
    read_hold,
    split_pair,
)
from agent.cli.flow import deployed as flow_deployed
from agent.cli.flow import records as flow_records
from agent.cli.flow import stored as flow_stored
from agent.cli.local_files.called import link_called, link_local
from agent.cli.local_files.files import load_file, read_event, read_flow, read_object
from agent.cli.local_files.named import find_flow, make_flow
from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.cli.local_files.checkout import Inquiry
    from agent.cli.local_files.named import NamedFlow
    from agent.job.launch.launcher import EarlySupervisor


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    describe(parser, "Work with flow files.", "agent flow run examples/hello.yml")
    commands = add_subcommands(parser)
    _configure_language(commands)
    run = add_command(
        commands,
        "run",
        _run,
        "Run a flow on this machine, without a server.",
        "agent flow run train.yml --input epochs=3 --secret API_KEY",
        "agent flow run train --epochs 3 -- --verbose",
        kind=FlowParser,
    )
    _add_run_arguments(run)
    run.add_argument(
        "--workspace", type=Path, default=Path(), metavar="DIR", help="jobs work in a copy of it (default: .)"
    )
    run.add_argument("--with-ignored", action="store_true", help="copy what git ignores, too")
    run.add_argument("--in-place", action="store_true", help="work in DIR itself instead of a copy")
    run.add_argument(
        "--in-place=destructive",
        dest="in_place_destructive",
        action="store_true",
        help="the same, and actions may check out over DIR: edits and files that are not committed are lost",
    )
    run.add_argument(
        "--env", action="append", default=[], metavar="K=V", help="an environment variable for every job"
    )
    run.add_argument(
        "--image", action="append", default=[], metavar="LABEL=IMAGE", help="`host` runs LABEL here"
    )
    run.add_argument(
        "--keep", action="store_true", help="leave the job folders for a look, and say where they are"
    )
    run.add_argument(
        "--tag", default="", help="a tag for what the run keeps: later runs are brought it by that"
    )
    run.add_argument(
        "--answers",
        type=Path,
        metavar="FILE",
        help='what steps that wait for a person are told: a JSON object, {"STEP": {"NAME": VALUE}}',
    )
    run.add_argument("--actions-url", help="where `uses:` looks (AGENT_ACTIONS_URL)")
    prune = add_command(
        commands,
        "prune",
        _prune,
        "Remove what local runs kept, but for the last of each flow and what has a tag.",
        "agent flow prune --most 1",
    )
    prune.add_argument(
        "--most", type=_read_count, default=None, metavar="N", help="runs of each flow that stay (default: 5)"
    )
    add_format(prune)
    submit = add_command(
        commands,
        "submit",
        _submit,
        "Run a flow on the server's agents.",
        "agent flow submit train.yml --follow",
        "agent flow submit train --tag baseline --epochs 3",
        kind=FlowParser,
    )
    _add_run_arguments(submit)
    submit.add_argument(
        "--source",
        choices=["git", "snapshot", "none"],
        help="the code that jobs check out (default: snapshot in git)",
    )
    submit.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="NAME",
        help="leave a folder, a file or a pattern such as '*.bin' out of the snapshot",
    )
    submit.add_argument(
        "--yes", action="store_true", help="send a large snapshot (AGENT_SNAPSHOT_LIMIT) unasked"
    )
    add_hold(submit)
    submit.add_argument("--follow", "-f", action="store_true", help="show the run until it ends")
    submit.add_argument(
        "--detach", "-d", action="store_true", help="do not wait for it, which is the default"
    )
    submit.add_argument("--tag", "-t", metavar="TAG", help="put this tag on the run")
    add_server(submit)
    add_project(submit)
    flow_stored.configure(commands)
    flow_deployed.configure(commands)
    flow_records.configure(commands)


def _configure_language(commands: Any) -> None:
    validate = add_command(
        commands,
        "validate",
        _validate,
        "Print every problem of flow files.",
        "agent flow validate .github/workflows/*.yml",
    )
    validate.add_argument("files", nargs="+", type=Path, metavar="FILE")
    validate.add_argument("--dialect", help="read as this language instead of finding out")
    add_format(validate)
    show = add_command(
        commands, "show", _show, "Show a flow's plan.", "agent flow show train.yml --format mermaid"
    )
    show.add_argument("file", type=Path, metavar="FILE")
    show.add_argument("--dialect", help="read as this language instead of finding out")
    show.add_argument("--format", choices=["text", "json", "mermaid"], default="text")
    convert = add_command(
        commands,
        "convert",
        _convert,
        "Write a flow in another language, or say what has no equal there.",
        "agent flow convert train.yaml > train.yml",
    )
    convert.add_argument("file", type=Path, metavar="FILE")
    convert.add_argument("--to", metavar="DIALECT", help="the language to write it in, if not the usual one")
    convert.add_argument("--dialect", help="read as this language instead of finding out")
    add_format(convert)
    evaluate = add_command(
        commands,
        "eval",
        _eval,
        "Evaluate an expression.",
        "agent flow eval \"format('{0}!', github.ref)\" --contexts c.json",
    )
    evaluate.add_argument("expression", nargs="?", metavar="EXPR")
    evaluate.add_argument("--contexts", type=Path, metavar="F.json", help="the contexts, as one JSON object")
    evaluate.add_argument("--batch", type=Path, metavar="F.jsonl", help='lines of {"expr", "contexts"}')
    evaluate.add_argument("--format", choices=["text", "json"], default="json")
    schema = add_command(
        commands, "schema", _schema, "Print the JSON schema for editors.", "agent flow schema > flow.json"
    )
    schema.add_argument("--dialect", help="of this language instead of the one that files are in by default")


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    from agent.spec.conventions import JOB_TOKEN

    parser.add_argument(
        "flow",
        metavar="FLOW",
        nargs="?",
        help="its file, or its name; after it --KEY VALUE for its inputs, and further arguments behind --",
    )
    parser.add_argument("--dialect", help="read as this language instead of finding out")
    parser.add_argument(
        "--provider",
        metavar="NAME",
        help="no flow: what this provider makes of the words (an image, a program) or of --command",
    )
    parser.add_argument("--command", "-c", metavar="CMD", help="what --provider runs")
    parser.add_argument(
        "--job", action="append", default=[], metavar="ID", help="only this job and what it needs"
    )
    parser.add_argument(
        "--event",
        default="",
        metavar="NAME",
        help="what starts the run (default: workflow_dispatch, or the flow's first)",
    )
    parser.add_argument(
        "--event-file",
        action="append",
        default=[],
        metavar="F",
        help="the event's payload, as JSON; a local run of stages: its records, a line each (TRIGGER=F: those of that trigger)",
    )
    add_inputs(parser)
    parser.add_argument(
        "--secret",
        action="append",
        default=[],
        metavar="K[=V]",
        help=f"a secret; without V: from the environment ({JOB_TOKEN} is what jobs here have as their token)",
    )
    parser.add_argument("--secret-file", type=Path, metavar="F", help="secrets, one K=V a line")
    parser.add_argument("--var", action="append", default=[], metavar="K=V", help="a variable")
    parser.add_argument(
        "--matrix", action="append", default=[], metavar="K:V", help="only the matrix cells with this value"
    )
    parser.add_argument(
        "--log",
        choices=["end", "all"],
        default="end",
        help="of each step's output: on a terminal the end, or all of it (default: end)",
    )
    add_format(parser)


def _validate(arguments: argparse.Namespace) -> int:
    from agent.cli.flow.language import run_validate

    return run_validate(arguments.files, arguments.dialect, arguments.format, sys.stdout)


def _eval(arguments: argparse.Namespace) -> int:
    from agent.cli.flow.eval import run_eval

    if (arguments.expression is None) == (arguments.batch is None):
        raise UsageError("give either an expression or --batch", hint="see `agent flow eval --help`")
    return run_eval(arguments.expression, arguments.contexts, arguments.batch, arguments.format, sys.stdout)


def _schema(arguments: argparse.Namespace) -> int:
    from agent.cli.flow.language import run_schema
    from agent.flow.load import DEFAULT

    return run_schema(sys.stdout, arguments.dialect or DEFAULT)


def _convert(arguments: argparse.Namespace) -> int:
    from agent.cli.flow.convert import convert_flow

    return convert_flow(arguments.file, arguments.dialect, arguments.to, arguments.format, sys.stdout)


def _show(arguments: argparse.Namespace) -> int:
    from agent.cli.flow.show import show_flow

    flow = link_local(load_file(arguments.file, arguments.dialect), arguments.file)
    return show_flow(flow, arguments.format, sys.stdout)


def _run(arguments: argparse.Namespace) -> int:
    from agent.cli.local_files.checkout import Inquiry

    named = _find_flow(arguments)
    inquiry = Inquiry(arguments.workspace)  # git answers while the rest is imported
    import agent.flow.expressions  # noqa: F401 - what both processes need is imported once, before they part
    from agent.job.launch.launcher import fork_early

    with fork_early() as early:
        return _run_here(arguments, named, inquiry, early)


def _run_here(
    arguments: argparse.Namespace, named: "NamedFlow", inquiry: "Inquiry", early: "EarlySupervisor"
) -> int:
    from agent.cli.flow.given import read_given, write_options
    from agent.cli.local_files.outputs import warn_of_outputs
    from agent.cli.local_run.command import run_flow_here
    from agent.cli.local_run.jobs import LocalOptions
    from agent.spec.data import check_tag

    flow = link_called(
        read_flow(named.file, arguments.dialect, text=named.text).flow,
        named.file,
        actions_url=arguments.actions_url,
    )
    warn_of_outputs(flow, named.file)
    jobs = _name_jobs(named, arguments)
    given = read_given(flow, jobs, arguments)
    added = write_options(flow, jobs, given)
    if added:
        read = read_flow(named.file, arguments.dialect, text=named.text, added=added, warns=False)
        flow = link_called(read.flow, named.file, actions_url=arguments.actions_url)
    has_stages = any(job.stages for job in flow.jobs.values())
    options = LocalOptions(
        workspace=arguments.workspace,
        inquiry=inquiry,
        in_place=arguments.in_place or arguments.in_place_destructive,
        with_ignored=arguments.with_ignored,
        is_destructive=arguments.in_place_destructive,
        keep=arguments.keep,
        event=arguments.event,
        payload={} if has_stages else read_event(arguments.event_file),
        records=tuple(arguments.event_file) if has_stages else (),
        inputs=given.inputs,
        secrets=given.secrets,
        variables=dict(split_pair(pair, "--var") for pair in arguments.var),
        environment=dict(split_pair(pair, "--env") for pair in arguments.env),
        jobs=jobs,
        cells=_cells(arguments.matrix),
        images=dict(split_pair(pair, "--image") for pair in arguments.image),
        actions_url=arguments.actions_url,
        tag=check_tag(arguments.tag) if arguments.tag else "",
        answers=_read_answers(arguments.answers),
    )
    return run_flow_here(flow, options, early, arguments.format, sys.stdout, log=arguments.log)


def _prune(arguments: argparse.Namespace) -> int:
    from agent.cli.local_run.kept import prune_kept

    return prune_kept(arguments.most, arguments.format, sys.stdout)


def _read_count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number")
    return int(text)


def _read_answers(file: Path | None) -> dict[str, dict[str, object]]:
    if file is None:
        return {}
    answers: dict[str, dict[str, object]] = {}
    for name, values in read_object(file, "what is there").items():
        if not isinstance(values, dict):
            hint = 'write {"STEP": {"NAME": VALUE}}'
            raise UsageError(f"the answer to '{name}' is not a JSON object", where=str(file), hint=hint)
        answers[name] = values
    return answers


def _submit(arguments: argparse.Namespace) -> int:
    from agent.cli.client import connect
    from agent.cli.flow.given import read_given
    from agent.cli.flow.snapshot import read_care
    from agent.cli.flow.submit import SubmitOptions, submit_flow

    named = _find_flow(arguments)
    jobs = _name_jobs(named, arguments)
    options = SubmitOptions(
        file=named.file,
        text=named.text,
        dialect=arguments.dialect,
        event=arguments.event,
        event_files=tuple(arguments.event_file),
        give=lambda flow: read_given(flow, jobs, arguments),
        variables=dict(split_pair(pair, "--var") for pair in arguments.var),
        jobs=jobs,
        cells=_cells(arguments.matrix),
        source=arguments.source,
        care=read_care(arguments.exclude, shows=arguments.format == "text", is_sure=arguments.yes),
        hold_seconds=read_hold(arguments),
        tag=arguments.tag or "",
    )
    if arguments.detach and arguments.follow:
        raise UsageError("give either --detach or --follow", hint="see `agent flow submit --help`")
    client = connect(url=arguments.url, token=arguments.token, project=arguments.project)
    return submit_flow(
        client,
        options,
        follow=arguments.follow,
        output_format=arguments.format,
        log=arguments.log,
        out=sys.stdout,
    )


def _find_flow(arguments: argparse.Namespace) -> "NamedFlow":
    """The flow that was named. Raises UsageError; an option that nobody knows is said before a file that is not there."""
    if arguments.provider:
        return make_flow(arguments.provider, arguments.flow or "", arguments.command or "")
    if arguments.command:
        raise UsageError("--command goes with --provider", hint="see `agent flow run --help`")
    if not arguments.flow:
        raise arguments.unknown or UsageError(
            "say which flow", hint="its file, or its name; see `agent flow run --help`"
        )
    try:
        named = find_flow(arguments.flow)
    except UsageError as error:
        raise arguments.unknown or error from None
    if not named.file.exists() and arguments.unknown is not None:
        raise arguments.unknown
    return named


def _name_jobs(named: "NamedFlow", arguments: argparse.Namespace) -> tuple[str, ...]:
    """The jobs that were named, the one that the flow was named by among them."""
    return (*([named.job] if named.job else []), *arguments.job)


def _cells(pairs: list[str]) -> dict[str, str]:
    cells = {}
    for pair in pairs:
        key, colon, value = pair.partition(":")
        if not colon or not key:
            raise UsageError(f"'{pair}' is not of the form KEY:VALUE", where="--matrix")
        cells[key] = value
    return cells
