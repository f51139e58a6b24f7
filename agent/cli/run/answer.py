"""`agent run answer`: what a step asks a person for is filled in, on the command line, from a file or at a terminal."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from agent.cli.arguments import split_pair
from agent.cli.client import Client
from agent.cli.local_files.files import read_object
from agent.cli.terminal.form_dialogue import FormDialogue
from agent.cli.terminal.tables import plain
from agent.errors import AgentError, InterruptedByUserError, NotFoundError, UsageError


def answer_run(
    client: Client, run: int, job: str | None, step: int | None, given: Mapping[str, object] | None
) -> Mapping[str, Any]:
    """Answer the only form of the run, or of the job in it, that is open; `given` None: ask for it at the terminal.

    Gives the server's word. Raises AgentError when there is none, and UsageError when there are several, or no terminal.
    """
    page = client.read_list(f"/api/v1/runs/{run}/forms", "forms")
    form = _choose(page["forms"], page.get("answered", []), run, job, step)
    values = _ask(form, sys.stdin, sys.stderr) if given is None else given
    body = {"step": form["step"], "values": dict(values)}
    said: Mapping[str, Any] = client.post(f"/api/v1/jobs/{form['job']}/answer", body)
    return said


def read_given(pairs: Sequence[str], file: Path | None) -> dict[str, object] | None:
    """What the command line says: `--set` over what is in the file; None where neither is there."""
    if not pairs and file is None:
        return None
    values = {} if file is None else read_object(_open(file), "the answer")
    return {**values, **dict(split_pair(pair, "--set") for pair in pairs)}


def _open(file: Path) -> Path:
    return Path("/dev/stdin") if str(file) == "-" else file


def _choose(
    found: Sequence[Any], answered: Sequence[Any], run: int, job: str | None, step: int | None
) -> Mapping[str, Any]:
    forms = _of(found, job, step)
    given = [] if forms else _of(answered, job, step)
    if given:
        last = given[-1]
        by = f", by {plain(last['answered_by'])}" if last["answered_by"] else ""
        raise AgentError(
            f"'{plain(last['title'])}' was answered already{by}",
            where=f"run {run}, {plain(last['key'])}",
            hint="the first answer is the one that counts",
        )
    if not forms and found:
        known = ", ".join(_name(form) for form in found)
        raise NotFoundError("that step waits for no answer", where=f"run {run}", hint=f"these do: {known}")
    if not forms:
        raise AgentError(
            "no step of the run waits for a person",
            where=f"run {run}",
            hint=f"`agent run show {run}` says how it stands",
        )
    if len(forms) > 1:
        known = ", ".join(_name(form) for form in forms)
        raise UsageError("several steps wait for an answer", where=f"run {run}", hint=f"name one: {known}")
    chosen: Mapping[str, Any] = forms[0]
    return chosen


def _of(found: Sequence[Any], job: str | None, step: int | None) -> list[Any]:
    """Those of the job, by its key or id, and of its step, where they are named."""
    of_job = [form for form in found if job in (None, form["key"], form["job"])]
    return [form for form in of_job if step in (None, form["step"])]


def _name(form: Mapping[str, Any]) -> str:
    return f"{plain(form['key'])} --step {form['step']} ({plain(form['title'])})"


def _ask(form: Mapping[str, Any], given: TextIO, out: TextIO) -> Mapping[str, object]:
    if not given.isatty():
        fields = " ".join(f"--set {plain(name)}=..." for name in form["form"].get("properties", {}))
        raise UsageError(
            "there is no terminal to ask at",
            where=plain(form["title"]),
            hint=f"{fields or '--file FILE'} answers it",
        )
    dialogue = FormDialogue(form["title"], form["form"])
    out.write("".join(f"{plain(line)}\n" for line in dialogue.introduction))
    while dialogue.values is None:
        out.write(plain(dialogue.prompt))
        out.flush()
        line = given.readline()
        if not line:
            raise InterruptedByUserError("nothing was answered")
        out.write("".join(f"{plain(said)}\n" for said in dialogue.feed(line)))
    return dialogue.values
