"""Steps in GitHub's keys."""

import re
import shlex
from collections.abc import Mapping

from agent.flow.dialects.github.writing.templates import Writer
from agent.flow.expressions import has_expression, to_text
from agent.flow.model import Step, StepKind, Template

_Fields = dict[str, object]
_BRACES = "${{"
# A command that `|| exit` can follow: one line, without a comment, a document, and what sends it to the background.
_SIMPLE = re.compile(r"[^\n#]*(?:[^\s&\\\n#])")
_STOP = " || exit"
_STOP_BELOW = "case $? in 0) ;; *) exit $? ;; esac"


def write_step(writer: Writer, step: Step) -> _Fields:
    """One step."""
    place = step.position
    fields: _Fields = {}
    if not step.id.startswith("__"):
        fields["id"] = step.id
    if step.name is not None and step.kind in (StepKind.RUN, StepKind.USES):
        fields["name"] = writer.write(step.name, place)
    match step.kind:
        case StepKind.RUN | StepKind.USES:
            fields |= _write_work(writer, step)
        case StepKind.PARALLEL:
            return {"parallel": [_write_child(writer, child) for child in step.children]}
        case StepKind.WAIT:
            fields["wait"] = list(step.targets)
        case StepKind.WAIT_ALL:
            fields["wait-all"] = None
        case StepKind.CANCEL:
            fields["cancel"] = step.targets[0]
    if step.continue_on_error is not False:
        fields["continue-on-error"] = writer.write(step.continue_on_error, place)
    if step.is_cached is not None:
        writer.lose(place, "the outputs of an equal run can't be taken there", "actions/cache keeps files")
    return fields


def _write_child(writer: Writer, step: Step) -> _Fields:
    """A step of a parallel group is in the background as it is."""
    return {key: value for key, value in write_step(writer, step).items() if key != "background"}


def _write_work(writer: Writer, step: Step) -> _Fields:
    place = step.position
    fields: _Fields = {}
    if step.condition != "success()":
        fields["if"] = writer.write_expression(step.condition, place)
    if step.kind is StepKind.USES:
        fields["uses"] = step.uses
        if step.with_:
            fields["with"] = {key: _write_input(writer, step, value) for key, value in step.with_.items()}
    else:
        if isinstance(step.run, (list, tuple)):
            fields["run"] = _write_commands([to_text(writer.write(line, place)) for line in step.run])
        else:
            fields["run"] = to_text(writer.write(step.run, place))
        if step.shell is not None:
            fields["shell"] = step.shell
    if step.working_directory is not None:
        fields["working-directory"] = writer.write(step.working_directory, place)
    if step.env is not None:
        fields["env"] = writer.write(step.env, place)
    if step.timeout_minutes is not None:
        fields["timeout-minutes"] = writer.write(step.timeout_minutes, place)
    if step.background:
        fields["background"] = True
    return fields


def _write_commands(commands: list[str]) -> str:
    """A script in which each command has to succeed before the next begins; the last one's end is the script's."""
    *others, last = commands
    return "\n".join(
        [
            *(
                f"{command}{_STOP}" if _SIMPLE.fullmatch(command) else f"{command}\n{_STOP_BELOW}"
                for command in others
            ),
            last,
        ]
    )


def _write_input(writer: Writer, step: Step, value: Template) -> Template:
    """An input of an action. A list of words becomes the line that a shell would make these words of."""
    if isinstance(value, Mapping):
        writer.lose(step.position, "an input of an action is text there, and no mapping")
        return ""
    if not isinstance(value, (list, tuple)):
        return writer.write(value, step.position)
    words = [writer.settle(word) for word in value]
    for word, written in zip(words, value, strict=True):
        if word is None:
            writer.lose(
                step.position,
                f"`{to_text(written)}` is one word, and could be several there: an expression's value is split with the line",
                "hand it over in `env`, and let the program read it",
            )
    line = shlex.join(word or "" for word in words)
    return line.replace(_BRACES, "${{ '${{' }}") if has_expression(line) else line
