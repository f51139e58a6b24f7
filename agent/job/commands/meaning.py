"""Meanings of workflow commands, and when none is listened to (`stop-commands`).

Source: actions/runner `ActionCommandManager.cs`; github-facts: *Commands*. Messages are GitHub's.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from agent.job.commands.effects import Effects
from agent.job.commands.problem_matchers import ProblemMatchers
from agent.job.commands.stdout import CommandError, WorkflowCommand, parse_command
from agent.job.output.masking import MOST_ASKED, MOST_ASKED_BYTES
from agent.job.output.recorder import StepLog
from agent.journal.format import Annotation

if TYPE_CHECKING:
    from agent.job.commands.matching import MatchedProblem

_DEPRECATED = (
    "The `{0}` command is deprecated and will be disabled soon. Please upgrade to using Environment Files. For more"
    " information see: https://github.blog/changelog/2022-10-11-github-actions-deprecating-save-state-and-set-output-commands/"
)
_DISABLED = (
    "The `{0}` command is disabled. Please upgrade to using Environment Files or opt into unsecure command execution by"
    " setting the `ACTIONS_ALLOW_UNSECURE_COMMANDS` environment variable to `true`. For more information see:"
    " https://github.blog/changelog/2020-10-01-github-actions-deprecating-set-env-and-add-path-commands/"
)
_BAD_TOKEN = (
    "You cannot use a endToken that is an empty string, the string 'pause-logging', or another workflow command. For more"  # noqa: S105 - GitHub's message
    " information see: https://docs.github.com/actions/learn-github-actions/workflow-commands-for-github-actions"
    "#example-stopping-and-starting-workflow-commands or opt into insecure command execution by setting the"
    " `ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS` environment variable to `true`."
)
_MAX_ANNOTATIONS = 10  # of each level, a step
_MAX_MESSAGE = 4096
_MASKED_TOKEN_FROM = 7


class CommandMeaning:
    """Obeys the commands of one step. `env` is the step's env context, for the two opt-ins to unsafe behaviour."""

    def __init__(
        self,
        log: StepLog,
        effects: Effects,
        env: Mapping[str, str],
        matchers: ProblemMatchers,
        *,
        shows_debug: bool,
    ) -> None:
        self._log = log
        self._matchers = matchers
        self._effects = effects
        self._env = env
        self._shows_debug = shows_debug
        self._echoes = shows_debug
        self._resume_token = ""  # while it is set, nothing but it is obeyed
        self._annotations: dict[str, int] = {}
        self._has_too_many_masks = False

    def handle(self, line: bytes) -> bool:
        """Obey the command on `line`; False when there is none, so that the line is shown as it is."""
        text = line.decode("utf-8", "replace")
        if self._resume_token:
            return self._handle_stopped(text)
        command = parse_command(text, self._TABLE)
        if command is None:
            return False
        if self._echoes and command.name not in _NEVER_ECHOED:
            self._log.say(text)
        try:
            self._TABLE[command.name](self, command)
        except CommandError as error:
            shown = command.name if command.name in _NEVER_ECHOED else text
            self._effects.errors += [f"Unable to process command '{shown}' successfully.", str(error)]
        return True

    def report_problem(self, line: str, problem: "MatchedProblem") -> None:
        """A problem matcher has found `problem` in `line`."""
        self.annotate(
            Annotation(
                self._log.step,
                problem.severity,
                problem.message,
                file=problem.file,
                line=problem.line,
                column=problem.column,
            ),
            shown_as=line,
        )

    def warn(self, message: str) -> None:
        """A warning of our own."""
        self.annotate(Annotation(self._log.step, "warning", message))

    def annotate(self, annotation: Annotation, shown_as: str | None = None) -> None:
        """Show `annotation` in the log, and record it unless its level has had its share of this step."""
        self._log.say(f"##[{annotation.level}]{annotation.message if shown_as is None else shown_as}")
        count = self._annotations.get(annotation.level, 0)
        if count < _MAX_ANNOTATIONS:
            self._annotations[annotation.level] = count + 1
            self._log.recorder.annotate(annotation)

    def _handle_stopped(self, text: str) -> bool:
        command = parse_command(text, (self._resume_token.lower(),))
        if command is None:
            return False
        self._resume_token = ""
        self._log.say(text)
        return True

    def _stop(self, command: WorkflowCommand) -> None:
        token = command.data
        is_taken = not token or token.lower() == "pause-logging" or token.lower() in self._TABLE
        if is_taken and not _is_true(self._env.get("ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS")):
            raise CommandError(_BAD_TOKEN)
        self._resume_token = token
        if len(token) >= _MASKED_TOKEN_FROM:
            self._log.recorder.masker.ask(token)
        self._log.say(f"::stop-commands::{token}")

    def _add_mask(self, command: WorkflowCommand) -> None:
        if not command.data.strip():
            raise CommandError("Can't add secret mask for empty string in ##[add-mask] command.")
        if self._has_too_many_masks or self._log.recorder.masker.ask(command.data):
            return
        self._has_too_many_masks = True  # said once: the step has failed
        raise CommandError(
            f"This value is NOT masked, nor is any after it: a job may ask for {MOST_ASKED:,} values of at most"
            f" {MOST_ASKED_BYTES >> 10} KiB, 4 MiB in all. Put many values into one secret, which is masked line by line."
        )

    def _debug(self, command: WorkflowCommand) -> None:
        if self._shows_debug:
            self._log.say(f"##[debug]{command.data}")

    def _annotate(self, command: WorkflowCommand) -> None:
        properties = command.properties
        self.annotate(
            Annotation(
                self._log.step,
                command.name,
                command.data[:_MAX_MESSAGE],
                title=properties.get("title", ""),
                file=properties.get("file", ""),
                line=_read_number(properties.get("line")),
                end_line=_read_number(properties.get("endline")),
                column=_read_number(properties.get("col")),
                end_column=_read_number(properties.get("endcolumn")),
            )
        )

    def _group(self, command: WorkflowCommand) -> None:
        self._log.say(f"##[{command.name}]{command.data}")

    def _echo(self, command: WorkflowCommand) -> None:
        switch = command.data.strip().lower()
        if switch not in ("on", "off"):
            raise CommandError(
                f"Invalid echo command value. Possible values can be: 'on', 'off'. Current value is: '{switch}'."
            )
        self._echoes = switch == "on"

    def _set_output(self, command: WorkflowCommand) -> None:
        self.annotate(Annotation(self._log.step, "warning", _DEPRECATED.format(command.name)))
        self._effects.outputs[_require_name(command)] = command.data

    def _save_state(self, command: WorkflowCommand) -> None:
        self.annotate(Annotation(self._log.step, "warning", _DEPRECATED.format(command.name)))
        self._effects.state[_require_name(command)] = command.data

    def _set_env(self, command: WorkflowCommand) -> None:
        self._expect_unsecure_allowed(command)
        name = _require_name(command)
        if name.upper() == "NODE_OPTIONS":
            raise CommandError("Can't update NODE_OPTIONS environment variable using ::set-env:: command.")
        self._effects.env[name] = command.data

    def _add_path(self, command: WorkflowCommand) -> None:
        self._expect_unsecure_allowed(command)
        if not command.data:
            raise CommandError("Can't add empty path in ##[add-path] command.")
        self._effects.paths.append(command.data)

    def _expect_unsecure_allowed(self, command: WorkflowCommand) -> None:
        if not _is_true(self._env.get("ACTIONS_ALLOW_UNSECURE_COMMANDS")):
            raise CommandError(_DISABLED.format(command.name))

    def _add_matcher(self, command: WorkflowCommand) -> None:
        if not command.data.strip():
            raise CommandError("File path must be specified.")
        self._matchers.add(command.data.strip())

    def _remove_matcher(self, command: WorkflowCommand) -> None:
        owner, path = command.properties.get("owner", ""), command.data.strip()
        if bool(owner) == bool(path):
            raise CommandError("Either owner or a file path must be specified, not both.")
        if owner:
            self._matchers.remove(owner)
        else:
            self._matchers.remove_file(path)

    _TABLE: ClassVar[Mapping[str, Callable[["CommandMeaning", WorkflowCommand], None]]] = {
        "add-mask": _add_mask,
        "debug": _debug,
        "notice": _annotate,
        "warning": _annotate,
        "error": _annotate,
        "group": _group,
        "endgroup": _group,
        "echo": _echo,
        "set-output": _set_output,
        "save-state": _save_state,
        "set-env": _set_env,
        "add-path": _add_path,
        "stop-commands": _stop,
        "add-matcher": _add_matcher,
        "remove-matcher": _remove_matcher,
    }


_NEVER_ECHOED = frozenset(
    {"add-mask", "debug", "notice", "warning", "error", "echo", "stop-commands", "group", "endgroup"}
)


def _require_name(command: WorkflowCommand) -> str:
    name = command.properties.get("name")
    if not name:
        raise CommandError(f"Required field 'name' is missing in ##[{command.name}] command.")
    return name


def _read_number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None


def _is_true(text: str | None) -> bool:
    return (text or "").strip().lower() in ("true", "1")
