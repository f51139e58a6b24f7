"""Starts by a repository's delivery: the flows of the right commit (`locating`), held against the event."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from agent.errors import AgentError, UsageError
from agent.flow.load import load_flow
from agent.flow.problems import InvalidFlowError
from agent.plan.request import RunRequest
from agent.server.data.cache_scopes import choose_scope
from agent.server.runs.runs import Submission
from agent.server.store.deliveries import DeliveryRow, OriginRow
from agent.server.store.repositories import RepositoryRow
from agent.server.store.run_branches import RunBranch
from agent.server.triggers.called import ReadOthers, read_beside, read_called
from agent.server.triggers.changed_paths import ChangedPaths, find_changed
from agent.server.triggers.connected import Connected, read_flows
from agent.server.triggers.delivery import Delivery, branch_ref
from agent.server.triggers.known import explain_flow_error
from agent.server.triggers.locating import CommitTarget, Locator, explain_nothing
from agent.server.triggers.matching import event_names, explain_no_start, find_skip, wants_paths
from agent.server.triggers.mirror import Mirror
from agent.server.triggers.starting import Result, Starter, pins_of
from agent.spec.job import Source, SourceKind


@dataclass(frozen=True, slots=True)
class Findings:
    """What became of a delivery: of each flow, and over all; `is_held`: a person has to let it go on."""

    results: tuple[Result, ...]
    outcome: str
    is_held: bool = False


async def start_from_repository(
    connected: Connected,
    starter: Starter,
    row: DeliveryRow,
    delivery: Delivery,
    repository: RepositoryRow,
    *,
    is_approved: bool,
) -> Findings:
    """Start what the delivery starts; `is_approved`: somebody has looked at the very commits that it is about.

    Raises UnreachableError when it is to be tried again.
    """
    if why := explain_nothing(delivery):
        return Findings((), why)
    results: list[Result] = []
    words: list[str] = []
    is_held = False
    async with connected.open(repository) as mirror:
        await connected.learn(repository, mirror)
        others = {
            is_trusted: await connected.open_others(repository, is_trusted=is_trusted)
            for is_trusted in (True, False)
        }
        for event in event_names(delivery):
            look = _Look(mirror, row, delivery, repository, event, others, is_approved=is_approved)
            starts, told, why = await connected.ask(repository.url, look.find)
            is_held = is_held or why == HELD
            words += [why] if why else []
            results += told
            for submission in starts:
                started = await starter.start(submission)
                results.append(replace(started, why=look.remarks.get(submission.file, started.why)))
    return Findings(tuple(results), _summarise(results, words, delivery), is_held)


HELD: Final = "it comes from a fork, and waits for approval: POST /api/v1/deliveries/ID/approve"


class _Look:
    """One event of a delivery, looked at in its commit. Blocks."""

    def __init__(
        self,
        mirror: Mirror,
        row: DeliveryRow,
        delivery: Delivery,
        repository: RepositoryRow,
        event: str,
        others: Mapping[bool, ReadOthers],
        *,
        is_approved: bool,
    ) -> None:
        self._mirror = mirror
        self._row = row
        self._delivery = delivery
        self._repository = repository
        self._event = event
        self._is_approved = is_approved
        self._others = others  # by whether the flow is trusted
        self._locator = Locator(mirror, delivery, repository, row.attempt)
        self._changed: ChangedPaths | None = None  # once a flow asks
        self.remarks: dict[str, str] = {}  # of flows that start, by file: what is to be said all the same

    def find(self) -> tuple[list[Submission], list[Result], str]:
        """The flows that start, what is told of others, and why nothing starts, when nothing can."""
        target = self._locator.locate(self._event)
        if not target.commit:
            return [], [], target.why
        skip = (
            find_skip(self._delivery, self._message(target)) if self._event != "pull_request_target" else ""
        )
        if skip:
            return [], [], skip
        texts, unreadable = read_flows(self._mirror, target.commit, self._repository)
        told = [Result(path, self._event, why=problem) for path, problem in unreadable.items()]
        starts = []
        for path, content in texts.items():
            start, result = self._judge(path, content, target)
            starts += [start] if start else []
            told += [result] if result else []
        if starts and not target.is_trusted and not self._is_approved and self._repository.forks == "approve":
            return [], told, HELD
        return starts, told, ""

    def _judge(
        self, path: str, content: str, target: CommitTarget
    ) -> tuple[Submission | None, Result | None]:
        try:
            companions = self._mirror.open_companions(target.commit, path)
            flow = load_flow(content, path, companions=companions).flow
        except AgentError as error:
            problems = tuple(explain_flow_error(error))
            return None, Result(path, self._event, None, "it is not valid", problems, target.reported)
        changed = self._find_changed() if wants_paths(flow, self._event) else ChangedPaths(None)
        why = explain_no_start(flow, self._delivery, self._event, changed.paths)
        if why is not None:
            return None, Result(path, self._event, why=why) if why else None
        if changed.why:
            self.remarks[path] = f"its path filters let it pass: {changed.why}"
        try:
            lock = read_beside(self._mirror, target.commit, path, "flow.lock")
            called = read_called(self._mirror, target.commit, flow, lock, self._others[target.is_trusted])
            pins = pins_of(lock)
        except (InvalidFlowError, UsageError) as error:
            problems = tuple(explain_flow_error(error))
            why = "what it calls is not valid"
            return None, Result(path, self._event, None, why, problems, target.reported)
        submission = self._make_submission(path, content, target)
        return replace(submission, called=called, request=replace(submission.request, pins=pins)), None

    def _find_changed(self) -> ChangedPaths:
        if self._changed is None:
            self._changed = find_changed(self._mirror, self._delivery, self._repository)
        return self._changed

    def _make_submission(self, path: str, content: str, target: CommitTarget) -> Submission:
        asked = RunRequest(
            event=self._event,
            payload=self._delivery.payload,
            source=Source(SourceKind.GIT, url=self._repository.url, ref=target.ref, commit=target.commit),
            actor=self._delivery.sender,
            is_by_itself=True,
            sees_secrets=target.is_trusted,
        )
        origin = OriginRow(
            run=0,
            start=f"delivery/{self._row.id}/{self._event}/{path}",
            delivery=self._row.id,
            repository=self._repository.id,
            flow=path,
            commit=target.reported,
            is_trusted=target.is_trusted,
            depth=self._row.depth,
        )
        return Submission(
            path,
            content,
            request=asked,
            project=self._row.project,
            branch=self._find_branch(target),
            origin=origin,
        )

    def _find_branch(self, target: CommitTarget) -> RunBranch:
        pull = self._delivery.pull
        number = None if pull is None else pull.number
        return RunBranch(
            self._repository.id,
            target.ref,
            target.commit,
            base="" if pull is None else branch_ref(pull.base_branch),
            scope=choose_scope(self._event, target.ref, number, is_trusted=target.is_trusted),
        )

    def _message(self, target: CommitTarget) -> str:
        """The message that may ask for no runs: of the newest commit, not of the merge."""
        if self._delivery.event == "push":
            return self._mirror.message(target.commit)
        pull = self._delivery.pull
        has_head = pull is not None and self._mirror.has(pull.head)
        return self._mirror.message(pull.head) if pull is not None and has_head else self._delivery.message


def _summarise(results: list[Result], words: list[str], delivery: Delivery) -> str:
    counts: Mapping[str, int] = {
        "started": sum(result.run is not None for result in results),
        "not valid": sum(bool(result.problems) for result in results),
        "kept out by their filters": sum(result.run is None and not result.problems for result in results),
    }
    told = [f"{count} {_flows(count)} {what}" for what, count in counts.items() if count]
    if not told and not words:
        return f"no flow of the commit waits for '{delivery.event}'"
    return "; ".join([*words, *told])


def _flows(count: int) -> str:
    return "flow" if count == 1 else "flows"
