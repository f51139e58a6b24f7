"""`agent action info`: an action as its manifest describes it."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from agent.cli.action.check import has_errors, show_problems
from agent.cli.flow.language import describe_problem
from agent.cli.local_files.uses import Context, open_resolver, warn
from agent.cli.terminal.tables import plain, print_json, print_table
from agent.errors import NotFoundError, UsageError
from agent.flow.expressions import write_value
from agent.flow.problems import Problem
from agent.resolve import (
    CommandRuns,
    CompositeRuns,
    DockerRuns,
    HumanRuns,
    ImageReference,
    InvalidActionError,
    NodeRuns,
    Pins,
    ResolvedAction,
    ScriptRuns,
    WorkspaceReference,
    inspect_manifest,
    parse_reference,
)


def show_action(text: str, actions_url: str | None, output_format: str, out: TextIO) -> int:
    """Show the action that `text` names, and what is wrong with it; 1 when that makes it unusable.

    Raises UsageError for an image, and what resolving raises.
    """
    reference = parse_reference(text)
    if isinstance(reference, ImageReference):
        raise UsageError("an image has no manifest", where=text)
    if isinstance(reference, WorkspaceReference) and not Path(reference.path).exists():
        raise NotFoundError("there is no such folder", where=text, hint="./PATH is below the current folder")
    context = Context(workspace=Path(), actions_url=actions_url)
    with open_resolver(Path(), context, Pins()) as resolver:
        try:
            action = resolver.resolve(reference)
        except InvalidActionError as error:
            if output_format != "json":
                raise
            print_json({"reference": text, "problems": list(map(describe_problem, error.problems))}, out)
            return error.exit_code
        problems = inspect_manifest(action.folder, text, action.root)
    for warning in action.warnings:
        warn(warning)
    _show(text, action, problems, output_format, out)
    return int(has_errors(problems))


def _show(
    text: str, action: ResolvedAction, problems: Sequence[Problem], output_format: str, out: TextIO
) -> None:
    data = _describe(text, action) | {"problems": list(map(describe_problem, problems))}
    show_problems(problems, sys.stderr)
    if output_format == "json":
        print_json(data, out)
    else:
        _print(data, out)


def _describe(text: str, action: ResolvedAction) -> dict[str, Any]:
    manifest = action.manifest
    return {
        "reference": text,
        "name": manifest.name,
        "description": manifest.description,
        "origin": action.origin,
        "commit": action.commit,
        "runs": _describe_runs(manifest.runs),
        "inputs": [asdict(each) for each in manifest.inputs.values()],
        "outputs": [
            {"name": each.name, "description": each.description, "type": each.type}
            for each in manifest.outputs.values()
        ],
        "env": list(manifest.env),
        "cached": manifest.is_cached,
    }


def _describe_runs(runs: object) -> dict[str, Any]:
    if isinstance(runs, CompositeRuns):
        uses = [step.uses for step in runs.steps if step.uses]
        return {"using": "composite", "steps": len(runs.steps), "uses": uses}
    match runs:
        case DockerRuns(image):
            return {"using": "docker", "image": image}
        case CommandRuns(command):
            return {"using": "a command", "command": command}
        case ScriptRuns(main):
            return {"using": "a script", "main": main}
        case HumanRuns():
            return {"using": "a person"}
        case _:
            return _describe_program(runs)


def _describe_program(runs: object) -> dict[str, Any]:
    using = f"node{runs.version}" if isinstance(runs, NodeRuns) else "python"
    stages = {stage: getattr(runs, stage) for stage in ("pre", "main", "post")}
    return {"using": using, **{stage: script for stage, script in stages.items() if script}}


def _print(data: dict[str, Any], out: TextIO) -> None:
    out.write(f"{plain(data['name'] or data['reference'])}\n")
    if data["description"]:
        out.write("".join(f"{plain(line)}\n" for line in data["description"].strip().splitlines()))
    commit = f" at {data['commit']}" if data["commit"] else ""
    out.write(f"\nfrom  {plain(data['origin'])}{commit}\n")
    runs = [
        f"{key} {', '.join(value) if isinstance(value, list) else value}"
        for key, value in data["runs"].items()
    ]
    out.write(plain(f"runs  {'; '.join(line for line in runs if not line.endswith(' '))}") + "\n")
    if data["inputs"]:
        out.write("\n")
        rows = [_input_row(each) for each in data["inputs"]]
        print_table(["input", "default", "description"], rows, out, cuts=False)
    if data["env"]:
        out.write(f"\nneeds the secrets {plain(', '.join(data['env']))}\n")
    if data["outputs"]:
        out.write("\n")
        rows = [[each["name"], _first_line(each["description"])] for each in data["outputs"]]
        print_table(["output", "description"], rows, out, cuts=False)


def _input_row(each: dict[str, Any]) -> list[str]:
    default = "(required)" if each["required"] and each["default"] is None else each["default"]
    described = (
        f"deprecated: {each['deprecation_message']}" if each["deprecation_message"] else each["description"]
    )
    if each["type"]:
        kind = " | ".join(write_value(option) for option in each["options"]) or each["type"]
        described = f"({kind}) {described}".strip()
    return [
        each["name"],
        "" if default is None else _first_line(write_value(default)),
        _first_line(described),
    ]


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
