"""Sources of the data that a job of a local run is brought: found before it starts, in what earlier runs here kept."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agent.cli.local_run.kept import KeptRun, KeptStore, OpenRun, list_notes
from agent.errors import NotFoundError, UsageError
from agent.flow.expressions import PLANNING, spending
from agent.flow.model import Flow
from agent.plan import RunState
from agent.plan.sources import list_sources
from agent.spec.checkpoints import RESUME, Checkpoints
from agent.spec.data import Bring, BringKind, check_tag
from agent.spec.job import JobSpec
from agent.spec.run_names import find_number


class LocalSources:
    """Finds what jobs of one run are brought."""

    def __init__(self, store: KeptStore, run: OpenRun) -> None:
        self._store = store
        self._run = run

    def check(self, flow: Flow, state: RunState) -> None:
        """Raises UsageError for the first source that must be there when the run begins, and is not."""
        with spending(PLANNING):
            wanted = list(list_sources(flow, state))
        for bring in wanted:
            try:
                self.find(bring)
            except NotFoundError as error:
                raise UsageError(error.what, where=error.where, hint=error.hint) from None

    def fill_in(self, spec: JobSpec) -> JobSpec:
        """The specification with what each source has come to. Raises NotFoundError."""
        found = replace(spec, brings=tuple(self.find(bring) for bring in spec.brings))
        return self._find_checkpoint(found, spec.checkpoints) if spec.checkpoints else found

    def _find_checkpoint(self, spec: JobSpec, checkpoints: Checkpoints) -> JobSpec:
        """With the newest checkpoint that an earlier try of the job has kept."""
        note = self._run.find_checkpoint(spec.key) if spec.attempt > 1 else None
        if note is None:
            return spec
        told = {"reason": spec.context(RESUME).get("reason"), "artifact": note}
        resume = {**spec.context(RESUME), "path": checkpoints.paths[0]}
        return replace(
            spec,
            checkpoints=replace(checkpoints, found=json.dumps(told)),
            contexts={**spec.contexts, RESUME: resume},
        )

    def find(self, bring: Bring) -> Bring:
        """What it has come to. Raises NotFoundError, with its place and what to do."""
        if bring.kind in (BringKind.TEXT, BringKind.CACHE):  # what the one is, and the other may not be
            return bring
        found: dict[str, Any] = {}
        try:
            found = self._look_up(bring)
        except NotFoundError as error:
            if not bring.is_optional:
                raise NotFoundError(error.what, where=bring.place, hint=error.hint) from None
        return replace(bring, found=json.dumps(found))

    def _look_up(self, bring: Bring) -> dict[str, Any]:
        if bring.project:
            raise NotFoundError(
                f"a local run has no projects, and so no project '{bring.project}'",
                hint="`agent flow submit` runs it on the server",
            )
        if bring.kind is BringKind.DATASET:
            return {"dataset": self._find_version(bring)}
        return {"artifacts": self._find_artifacts(bring)}

    def _find_artifacts(self, bring: Bring) -> list[dict[str, Any]]:
        match bring.kind:
            case BringKind.JOB:
                notes, whose = self._run.list_kept(bring.of), f"job '{bring.of}'"
            case BringKind.TAG:
                notes, whose = self._of_tag(bring), f"what is tagged '{bring.of}'"
            case BringKind.LAST:
                notes, whose = self._of_last(bring), f"job '{bring.job}' of '{bring.of}'"
            case BringKind.RUN:
                notes, whose = self._of_run(bring), f"run '{bring.of}'"
            case _:
                raise AssertionError(bring.kind)
        return choose_named(notes, bring.name, whose)

    def _of_tag(self, bring: Bring) -> list[dict[str, Any]]:
        run = self._store.find_tagged(check_tag(bring.of))
        if run is None:
            raise NotFoundError(
                f"there is no tag '{bring.of}' here",
                hint="`agent flow run FILE --tag TAG` tags what a run keeps",
            )
        return _kept_of(run, bring.job)

    def _of_run(self, bring: Bring) -> list[dict[str, Any]]:
        number = int(bring.of) if bring.of.isdecimal() else find_number(bring.of)
        run = None if number is None else self._store.find_run(number)
        if run is None:
            raise NotFoundError(
                f"there is no run '{bring.of[:80]}' here, or it kept nothing",
                hint="a local run says where it kept something: the folder's number is the run's",
            )
        return _kept_of(run, bring.job)

    def _find_version(self, bring: Bring) -> dict[str, Any]:
        from agent.spec.dataset import read_ref  # few jobs are brought one

        found = self._store.find_version(read_ref(bring.of))
        if found is None:
            raise NotFoundError(
                f"there is no dataset version '{bring.of}' here",
                hint="a job that keeps something as a dataset makes one: `keeps: [{path: data, as: dataset}]`",
            )
        return found

    def _of_last(self, bring: Bring) -> list[dict[str, Any]]:
        runs = self._store.runs_of(bring.of, self._run.project)
        last = next((run for run in runs if run.has_succeeded(bring.job)), None)
        if last is None:
            reason = f"has not succeeded in any run of '{bring.of}' here" if runs else "has not run here"
            raise NotFoundError(
                f"job '{bring.job}' of '{bring.of}' {reason}, or kept nothing", hint="run it first"
            )
        return _kept_of(last, bring.job)


def choose_named(notes: Sequence[dict[str, Any]], name: str, whose: str) -> list[dict[str, Any]]:
    """Those of the name (empty: all). Raises NotFoundError when there is none."""
    chosen = [note for note in notes if name in ("", note["label"], note["name"])]
    if chosen:
        return chosen
    there = ", ".join(sorted(note["label"] for note in notes))
    if name and there:
        raise NotFoundError(f"{whose} has kept no '{name}'", hint=f"kept are: {there}")
    raise NotFoundError(f"{whose} has kept nothing", hint="name what it keeps under `keeps`")


def _kept_of(run: KeptRun, node: str) -> list[dict[str, Any]]:
    return list(list_notes(run.folder, node=node or None))
