"""A step's run, as a handler is given it: one stage of one step, with all that it may use to do its work."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from agent import codec
from agent.job.commands.effects import Effects
from agent.job.commands.files import CommandFiles
from agent.job.commands.meaning import CommandMeaning
from agent.job.commands.problem_matchers import LineWatcher
from agent.job.commands.stdout import CommandStream
from agent.job.commands.values import take_value
from agent.job.output.recorder import StepLog
from agent.job.process.hosts import StepHost
from agent.job.steps.code_host import describe_code_host, find_links
from agent.job.steps.contexts import evaluate_value, exported_variables, github_context, is_settled
from agent.job.steps.data import write_errand
from agent.job.steps.deadlines import Deadline
from agent.job.steps.facts import AboutStep, find_words
from agent.job.steps.parts import StepAction
from agent.job.steps.state import RunningJob, StepScope
from agent.spec.checkpoints import CHECKPOINT_STEPS
from agent.spec.conventions import Conventions, Speech
from agent.spec.data import DATA_STEPS
from agent.spec.job import SpecStepKind, StepSpec
from agent.spec.outcome import FailureKind

_MARK = "FLOW_STEP"


BELONGINGS = "belongings.json"  # in `StepRun.front`: the paths that only the workspace has


class StepStage(Enum):
    """The three times at which an action may run."""

    PRE = "pre"
    MAIN = "main"
    POST = "post"


class StepFailure(Exception):  # noqa: N818 - a failure is what it is called in this language
    """The step failed. The text is for the user; `is_said` when a log tells it already (an inner step's)."""

    def __init__(
        self,
        message: str,
        kind: FailureKind = FailureKind.USER,
        *,
        is_said: bool = False,
        exit_code: int | None = None,  # of the command, where one failed
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.is_said = is_said
        self.exit_code = exit_code


@dataclass(slots=True)
class StepRun:
    """One stage of one step.

    `env` is its env context and `own_env` the part of it that it, or a composite step around it, set; `inputs` is what
    was written under `with:`, and the defaults.
    """

    job: RunningJob
    scope: StepScope
    spec: StepSpec
    stage: StepStage
    log: StepLog
    env: Mapping[str, str]
    own_env: Mapping[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    values: Mapping[str, object] = field(default_factory=dict)  # the inputs, each of its own kind
    state: dict[str, str] = field(default_factory=dict)  # what earlier stages of this action saved
    action: StepAction | None = None
    effects: Effects = field(default_factory=Effects)
    deadlines: tuple[Deadline, ...] = ()  # its own, and those of all that it is a part of
    front: Path | None = None  # a folder in front of all others in PATH (agent.job.in_place.protection)
    _files: CommandFiles | None = None  # for the next process; made early for `github.output` and its like

    @property
    def place(self) -> str:
        """Where the step stands in its file."""
        return self.spec.place

    @property
    def words(self) -> Conventions:
        """The conventions under which the step's processes run."""
        return find_words(self.job, self.action)

    def about(self, action: StepAction | None) -> AboutStep:
        """What contexts tell of the step, whose action is that one."""
        name = self.spec.name if isinstance(self.spec.name, str) else self.spec.id
        return AboutStep(self.spec.id, name, self.spec.uses or "", action)

    def evaluate(self, template: object) -> object:
        """The value of a template in the step's contexts. Raises AgentError."""
        if is_settled(template):
            return template
        if self._files is None:
            self._files = self.job.command_folder.take()
        files = {name: self.job.host.paths.to_inside(path) for name, path in self._files.members.items()}
        own = {"action": self.spec.id, **files}
        return evaluate_value(self.job, self.scope, self.env, template, self.place, own)

    def close(self) -> None:
        """Remove what no process of the step has used."""
        if self._files is not None:
            self.job.command_folder.give_back(self._files)

    def github(self) -> dict[str, object]:
        """The `github` context of this very step."""
        return {**github_context(self.job, self.scope), **self._own_github()}

    def _own_github(self) -> dict[str, object]:
        """The members of `github` that are this step's."""
        members: dict[str, object] = {"action": self.spec.id}
        if self.action is not None:
            if not (self.spec.uses or "").startswith("docker://"):
                members["action_path"] = self.job.show_path(self.action.folder)
            members |= _name_repository(self.spec.uses or "")
        return members

    async def run_process(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path | str | None = None,
        extra: Mapping[str, str] | None = None,
        host: StepHost | None = None,
    ) -> int:
        """Run a program as this step and return its exit code; its commands and command files go to `effects`.

        `extra` is environment of the handler's own, which nothing overrides. `host` is where it runs, if that is not where
        the job's steps do. `cwd` empty: where a container of its own begins. Raises AgentError when it cannot start.
        """
        host = host or self.job.host
        self.job.latest = self
        folder = self.job.command_folder
        files, self._files = self._files or folder.take(), None
        matchers = self.job.matchers
        meaning = CommandMeaning(self.log, self.effects, self.env, matchers, shows_debug=self.job.shows_debug)
        relink = find_links(self.job, self.spec.uses or "", self.inputs)
        write = self.log.write if relink is None else partial(_write_relinked, self.log.write, relink)
        watcher = LineWatcher(matchers, write, meaning.report_problem, meaning.warn)
        stream = CommandStream(watcher.feed, self._find_listener(meaning))
        # What no other process has: the path of one of its files, where it has some.
        mark, value = next(iter(files.variables.items()), (_MARK, os.urandom(16).hex()))
        environment = self._build_environment(host, {mark: value, **files.variables, **(extra or {})})
        is_last = any(self.spec is last for last in self.job.spec.steps[-1:])
        tidy = partial(folder.tidy, is_last=is_last)
        asyncio.get_running_loop().call_soon(tidy)  # once the process has begun
        try:
            return await host.run(
                arguments,
                cwd=host.paths.to_inside(str(self.job.places.workspace if cwd is None else cwd)),
                env=environment,
                sink=stream.feed,
                graces=self.job.graces,
                mark=f"{mark}={environment[mark]}",
            )
        finally:
            self.effects.memory_kills += host.take_memory_kills()
            stream.finish()
            watcher.finish()
            summary = files.collect(self.effects)
            if relink is not None:
                outputs = self.effects.outputs
                outputs |= {name: relink(text) for name, text in outputs.items() if isinstance(text, str)}
            folder.give_back(files)
            if summary:
                self.log.recorder.summarise(self.log.step, summary)

    def _find_listener(self, meaning: CommandMeaning) -> Callable[[bytes], bool]:
        """Who is asked about each line that may be meant for us."""
        match self.words.speech:
            case Speech.COMMANDS:
                return meaning.handle
            case Speech.VALUES:
                return partial(take_value, self.effects)

    def describe_environment(self, extra: Mapping[str, str], host: StepHost | None = None) -> dict[str, str]:
        """What a process beside this step begins with, where the job's steps run: what it changed for later ones counts.

        `host` is where it runs, if that is not where the job's steps do.
        """
        env = {**self.job.environment.values, **self.own_env}
        return self._build_environment(host or self.job.host, extra, env)

    def _build_environment(
        self, host: StepHost, extra: Mapping[str, str], env: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """The process's environment, its paths as `host` sees them; `env` is another env context than the step's."""
        usual = self.job.host
        built = self.job.environment.build(
            {**self._named_secrets(), **(self.env if env is None else env)},
            state=self.state,
            inputs=self.inputs,
            own={
                **exported_variables(self.job, {**self.scope.github, **self._own_github()}),
                **self.job.own_variables,
                **self._proving_variables(),
                **extra,
            },
            granted=host.granted,
            keeps_paths=host.keeps_paths,
            words=self.words,
        )
        if host is not usual or self.job.is_in_container:
            built = {name: host.paths.to_inside(usual.paths.to_host(value)) for name, value in built.items()}
        if self.front is not None:
            front = host.paths.to_inside(str(self.front))
            built["PATH"] = f"{front}:{built['PATH']}"
            built["FLOW_BELONGINGS"] = f"{front}/{BELONGINGS}"
        return built

    def _proving_variables(self) -> Mapping[str, str]:
        """Where the job, `run:` steps too, asks for a token with which it proves itself to others, where it may (GitHub: OIDC)."""
        url, token = self.job.settings.server_url, self.job.id_token
        if not (url and token):
            return {}
        from agent.spec.services import describe_id_tokens  # few jobs may

        return describe_id_tokens(url, token)

    def _named_secrets(self) -> dict[str, str]:
        """The secrets that the action says it needs, as variables; no others of the job's."""
        names = self.action.manifest.env if self.action is not None else ()
        return {name: self.job.secrets[name] for name in names if name in self.job.secrets}

    def service_variables(self) -> dict[str, str]:
        """What actions, as opposed to `run:` steps, are told: the server, a token for it, and where the code is."""
        variables = {"FLOW_SOURCE": codec.dump(self.job.spec.source)}
        if self.spec.id in (*DATA_STEPS, *CHECKPOINT_STEPS) and not self.scope.is_composite:
            variables["FLOW_DATA"] = str(write_errand(self.job, self.spec.id))
        url, token = self._services_url(), self.job.runtime_token
        if url and token:
            from agent.spec.services import describe_services  # a job of `run:` steps has no use for it

            variables |= describe_services(url, token)
        host = describe_code_host(self.job, self.spec.uses or "", self.inputs, self.github())
        return {**variables, **host}

    def _services_url(self) -> str:
        """Where artifacts and caches are. Our own actions need no service in a local run: there are folders for them."""
        from agent.resolve.sources.bundled import OWNER  # a job of `run:` steps has no use for it

        settings = self.job.settings
        is_own = (self.spec.uses or "").lower().startswith(f"{OWNER}/")
        return settings.server_url or ("" if is_own else settings.services_url)

    def show_group(self, title: str, lines: Sequence[str] = (), details: Sequence[str] = ()) -> None:
        """The head of a step's log: what runs, with which environment."""
        shown = [f"##[group]{title}", *lines, *details]
        if self.env:
            shown += ["env:", *(f"  {name}: {value}" for name, value in self.env.items())]
        self.log.say("\n".join([*shown, "##[endgroup]"]))

    def show_action(self) -> None:
        """The head of an action's log."""
        given = {name: value for name, value in self.inputs.items() if value}
        details = ["with:", *(f"  {name}: {value}" for name, value in given.items())] if given else []
        self.show_group(f"Run {self.spec.uses or self.spec.id}", details=details)


def _write_relinked(write: Callable[[bytes], None], relink: Callable[[str], str], data: bytes) -> None:
    write(relink(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape"))


def _name_repository(uses: str) -> dict[str, object]:
    """The members that say which repository an action is from, by what stands behind `uses:`."""
    if "://" in uses:
        from agent.resolve.reference import UrlReference, parse_reference

        reference = parse_reference(uses)
        if not isinstance(reference, UrlReference):
            return {}
        repository = urlsplit(reference.url).path.strip("/").removesuffix(".git")
        return {"action_repository": repository, "action_ref": reference.ref}
    repository, _, ref = uses.partition("@")
    return {"action_repository": "/".join(repository.split("/")[:2]), "action_ref": ref} if ref else {}


def make_bystander(job: RunningJob) -> StepRun:
    """A step of nobody's, for who wants to know what a step would begin with while there was none."""
    spec = StepSpec(SpecStepKind.RUN, "__nobody")
    return StepRun(job, job.scope, spec, StepStage.MAIN, job.log, dict(job.environment.values))


RunSteps = Callable[[Sequence[StepSpec], StepScope], Awaitable[None]]


class Handler(Protocol):
    """How one kind of step is done. `run` returns when the stage is done and raises StepFailure when it failed.

    It may be cancelled at any time; `StepRun.run_process` then ends what it started. `run_steps` is for handlers whose
    work is made of steps.
    """

    async def run(self, step: StepRun, run_steps: RunSteps) -> None:
        """Do `step.stage` of the step."""
        ...


def write_event(job: RunningJob) -> None:
    """The event's payload, as a file for the steps."""
    event = job.spec.context("github").get("event") or {}
    job.places.event.write_text(json.dumps(event, ensure_ascii=False), encoding="utf-8")
