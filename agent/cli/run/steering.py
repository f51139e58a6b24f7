"""`agent run rerun`, `approve`, `reject`, `attach`: what is done with a run that is there."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.cli.arguments import add_command, add_hold, add_server, read_hold, read_number, read_run
from agent.cli.client import connect
from agent.cli.terminal.tables import plain, print_json
from agent.errors import UsageError


def add_steering(commands: Any, add_common: Callable[[argparse.ArgumentParser], None]) -> None:
    """Declare the sub-commands."""
    rerun = add_command(
        commands,
        "rerun",
        _rerun,
        "Run it again: all of it, what failed, or a job.",
        "agent run rerun 12 --failed",
    )
    rerun.add_argument("run", type=read_run, metavar="RUN")
    rerun.add_argument(
        "--failed", action="store_true", help="the failed and cancelled jobs, and what needs them"
    )
    rerun.add_argument(
        "--job", action="append", default=[], metavar="KEY", help="this job, and what needs it"
    )
    add_hold(rerun)
    rerun.add_argument("--debug", action="store_true", help="steps show their debug output")
    add_common(rerun)
    attach = add_command(
        commands,
        "attach",
        _attach,
        "A shell in a running job, or a command beside its steps.",
        "agent run attach 12 train",
        "agent run attach 12 train --command nvidia-smi -L",
    )
    attach.add_argument("run", type=read_run, metavar="RUN")
    attach.add_argument("job", nargs="?", metavar="JOB", help="its key; not needed when one job runs")
    add_server(attach)
    attach.add_argument(
        "--command",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="CMD",
        help="run this instead of a shell: a program and its arguments, or one word for `sh -c`; the last option",
    )
    resume = add_command(
        commands,
        "resume",
        _resume,
        "Let a job go on that is held after a failure.",
        "agent run resume 12 train",
    )
    resume.add_argument("run", type=read_run, metavar="RUN")
    resume.add_argument("job", nargs="?", metavar="JOB", help="its key; not needed when one job runs")
    add_common(resume)
    _add_answer(commands, add_common)
    _add_word(commands, add_common, "approve", _approve, "Let jobs into the environments that they wait for.")
    _add_word(commands, add_common, "reject", _reject, "Do not let jobs into their environments: they fail.")


def _add_answer(commands: Any, add_common: Callable[[argparse.ArgumentParser], None]) -> None:
    answer = add_command(
        commands,
        "answer",
        _answer,
        "Fill in what a step waits for a person to say; asks for it at a terminal.",
        "agent run answer 12",
        "agent run answer 12 review --set good=7 --set 'note=as it should be'",
    )
    answer.add_argument("run", type=read_run, metavar="RUN")
    answer.add_argument("job", nargs="?", metavar="JOB", help="its key; not needed when one job waits")
    answer.add_argument("--step", type=read_number, metavar="N", help="the step's number, when several wait")
    answer.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a field of the form"
    )
    answer.add_argument(
        "--file", type=Path, metavar="FILE", help="a JSON object of all fields; - is standard input"
    )
    add_common(answer)


def _add_word(
    commands: Any,
    add_common: Callable[[argparse.ArgumentParser], None],
    name: str,
    handler: Callable[[argparse.Namespace], int],
    meaning: str,
) -> None:
    parser = add_command(commands, name, handler, meaning, f"agent run {name} 12 --job deploy")
    parser.add_argument("run", type=read_run, metavar="RUN")
    parser.add_argument(
        "--job", action="append", default=[], metavar="KEY", help="only this job, or this environment"
    )
    parser.add_argument("--comment", default="", help="why")
    add_common(parser)


def _rerun(arguments: argparse.Namespace) -> int:
    if arguments.failed and arguments.job:
        raise UsageError("give either --failed or --job", hint="see `agent run rerun --help`")
    hold = read_hold(arguments)
    body = {"jobs": arguments.job, "failed": arguments.failed, "debug": arguments.debug}
    if hold:
        body["hold_minutes"] = hold / 60
    client = connect(url=arguments.url, token=arguments.token)
    begun = client.post(f"/api/v1/runs/{arguments.run}/rerun", body)
    if arguments.format == "json":
        print_json(begun, sys.stdout)
    else:
        hint = f"`agent run watch {begun['run']}` follows it"
        sys.stdout.write(f"run {begun['run']}: attempt {begun['attempt']} has begun; {hint}\n")
    return 0


def _attach(arguments: argparse.Namespace) -> int:
    from agent.cli.run.attach import attach

    client = connect(url=arguments.url, token=arguments.token)
    return attach(client, arguments.run, arguments.job, arguments.command)


def _resume(arguments: argparse.Namespace) -> int:
    from agent.cli.run.attach import resume

    client = connect(url=arguments.url, token=arguments.token)
    job = resume(client, arguments.run, arguments.job)
    if arguments.format == "json":
        print_json({"run": arguments.run, "job": job, "resumed": True}, sys.stdout)
    else:
        sys.stdout.write(f"{plain(job)} goes on\n")
    return 0


def _answer(arguments: argparse.Namespace) -> int:
    from agent.cli.run.answer import answer_run, read_given

    given = read_given(arguments.set, arguments.file)
    client = connect(url=arguments.url, token=arguments.token)
    said = answer_run(client, arguments.run, arguments.job, arguments.step, given)
    if arguments.format == "json":
        print_json(said, sys.stdout)
    else:
        sys.stdout.write(f"{plain(said['title'])} is answered; {plain(said['key'])} goes on\n")
    return 0


def _approve(arguments: argparse.Namespace) -> int:
    return _say(arguments, "approve", "may go on")


def _reject(arguments: argparse.Namespace) -> int:
    return _say(arguments, "reject", "may not go on")


def _say(arguments: argparse.Namespace, verb: str, meaning: str) -> int:
    client = connect(url=arguments.url, token=arguments.token)
    body = {"jobs": arguments.job, "comment": arguments.comment}
    said = client.post(f"/api/v1/runs/{arguments.run}/{verb}", body)
    if arguments.format == "json":
        print_json(said, sys.stdout)
    else:
        sys.stdout.write("".join(f"{plain(key)} {meaning}\n" for key in said["jobs"]))
    return 0
