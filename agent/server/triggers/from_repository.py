"""Starts by a repository's delivery: the flows of the right commit, held against the event.

| event | flows and code of | `ref` | status on |
| --- | --- | --- | --- |
| push | the pushed commit | what was pushed | that commit |
| pull_request, its reviews | the merge of head and base (where the host makes one, else the head) | `refs/pull/N/merge` | the head |
| pull_request_target | the default branch | the default branch | the head |
| release, create | the tag or branch | it | its commit |
| everything else | the default branch | the default branch | its commit |

Source: GitHub's documentation, "Events that trigger workflows", as of December 2025 for pull_request_target.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from agent.errors import AgentError, UnreachableError, UsageError
from agent.flow.load import load_flow
from agent.flow.problems import InvalidFlowError
from agent.plan.request import RunRequest
from agent.server.data.cache_scopes import choose_scope
from agent.server.runs.runs import Submission
from agent.server.store.deliveries import DeliveryRow, OriginRow
from agent.server.store.repositories import RepositoryRow
from agent.server.store.run_branches import RunBranch
from agent.server.triggers.called import ReadOthers, read_beside, read_called
from agent.server.triggers.connected import Connected, read_flows
from agent.server.triggers.delivery import Delivery, PullRequest, branch_ref, part, text
from agent.server.triggers.known import explain_flow_error
from agent.server.triggers.matching import event_names, explain_no_start, find_skip, wants_paths
from agent.server.triggers.mirror import Mirror
from agent.server.triggers.starting import Result, Starter, pins_of
from agent.spec.job import Source, SourceKind

_MERGE_REFS: Final = {"github": "refs/pull/{}/merge", "gitlab": "refs/merge-requests/{}/merge"}
_HEAD_REFS: Final = {"gitlab": "refs/merge-requests/{}/head"}
_DEFAULT_HEAD_REF: Final = "refs/pull/{}/head"
_MOST_WAITS: Final = 4  # for a merge that the host has yet to make


@dataclass(frozen=True, slots=True)
class CommitTarget:
    """The commit that an event is about; `commit` "": nothing starts, `why` says it."""

    ref: str = ""
    commit: str = ""
    reported: str = ""  # the commit that statuses go to
    is_trusted: bool = True
    why: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """What became of a delivery: of each flow, and over all; `is_held`: a person has to let it go on."""

    results: tuple[Result, ...]
    outcome: str
    is_held: bool = False


class NotYetError(UnreachableError):
    """The host has not done its part yet: to be tried again a little later."""


async def start_from_repository(
    connected: Connected, starter: Starter, row: DeliveryRow, delivery: Delivery, repository: RepositoryRow
) -> Findings:
    """Start what the delivery starts. Raises UnreachableError when it is to be tried again."""
    if delivery.event == "push" and not delivery.after:
        return Findings((), f"{delivery.ref} was deleted; `on: delete` is the event for that")
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
            look = _Look(mirror, row, delivery, repository, event, others)
            starts, told, why = await connected.ask(look.find)
            is_held = is_held or why == HELD
            words += [why] if why else []
            results += told
            for submission in starts:
                results.append(await starter.start(submission))
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
    ) -> None:
        self._mirror = mirror
        self._row = row
        self._delivery = delivery
        self._repository = repository
        self._event = event
        self._others = others  # by whether the flow is trusted

    def find(self) -> tuple[list[Submission], list[Result], str]:
        """The flows that start, what is told of others, and why nothing starts, when nothing can."""
        target = self._locate()
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
        if (
            starts
            and not target.is_trusted
            and not self._row.is_approved
            and self._repository.forks == "approve"
        ):
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
        paths = self._changed() if wants_paths(flow, self._event) else None
        why = explain_no_start(flow, self._delivery, self._event, paths)
        if why is not None:
            return None, Result(path, self._event, why=why) if why else None
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

    def _locate(self) -> CommitTarget:
        delivery, pull = self._delivery, self._delivery.pull
        if delivery.event == "push":
            return self._locate_push()
        if pull is not None and self._event != "pull_request_target":
            if pull.is_fork and self._repository.forks == "never":
                return CommitTarget(why="it comes from a fork, and this repository starts nothing for forks")
            return self._locate_merge(pull)
        ref = "" if pull is not None else delivery.ref
        ref = ref or f"refs/heads/{self._repository.default_branch}"
        commit = self._mirror.find(ref)
        reported = pull.head if pull is not None else commit
        return CommitTarget(ref, commit, reported, why="" if commit else f"the repository has no {ref}")

    def _locate_push(self) -> CommitTarget:
        ref, after = self._delivery.ref, self._delivery.after
        if ref.startswith("refs/tags/"):  # an annotated tag is an object of its own
            commit = self._mirror.find(ref)
        else:
            commit = after if self._mirror.fetch(after) else ""
        if not commit:
            return CommitTarget(why=f"commit {after[:12]} is not in the repository (any more)")
        return CommitTarget(ref, commit, commit)

    def _locate_merge(self, pull: PullRequest) -> CommitTarget:
        """The merge of exactly this head: one of a newer push, unseen by whoever approved this one, is not taken."""
        provider, number = self._repository.provider, pull.number
        is_trusted = not pull.is_fork
        if self._delivery.action == "closed":
            return self._locate_closed(pull)
        if provider in _MERGE_REFS:
            ref = _MERGE_REFS[provider].format(number)
            commit = self._mirror.fetch_ref(ref)
            if commit and pull.head in self._mirror.parents(commit):
                return CommitTarget(ref, commit, pull.head, is_trusted)
            if pull.is_mergeable is False:
                return CommitTarget(why="it conflicts with its base: there is no merge to run on")
            if self._row.attempt <= _MOST_WAITS:
                raise NotYetError("the merge of this head is not there yet", where=ref)
            if provider == "github":
                return CommitTarget(
                    why=f"{ref} is not the merge of {pull.head[:12]}: a conflict, or newer commits"
                )
        ref = self._head_ref(number)
        if not self._mirror.fetch(pull.head, ref):
            return CommitTarget(why=f"commit {pull.head[:12]} is not in the repository (any more)")
        return CommitTarget(ref, pull.head, pull.head, is_trusted)

    def _locate_closed(self, pull: PullRequest) -> CommitTarget:
        """A request that is closed has no merge of its own any more: what it was merged as, or its head."""
        facts = part(self._delivery.payload, "pull_request")
        merged = text(facts, "merge_commit_sha") if part(facts, "merged") is True else ""
        if merged and self._mirror.fetch(merged):
            return CommitTarget(
                f"refs/heads/{pull.base_branch}", merged, pull.head, is_trusted=not pull.is_fork
            )
        ref = self._head_ref(pull.number)
        if not self._mirror.fetch(pull.head, ref):
            return CommitTarget(why=f"commit {pull.head[:12]} is not in the repository (any more)")
        return CommitTarget(ref, pull.head, pull.head, is_trusted=not pull.is_fork)

    def _head_ref(self, number: int) -> str:
        return _HEAD_REFS.get(self._repository.provider, _DEFAULT_HEAD_REF).format(number)

    def _message(self, target: CommitTarget) -> str:
        """The message that may ask for no runs: of the newest commit, not of the merge."""
        if self._delivery.event == "push":
            return self._mirror.message(target.commit)
        pull = self._delivery.pull
        has_head = pull is not None and self._mirror.has(pull.head)
        return self._mirror.message(pull.head) if pull is not None and has_head else self._delivery.message

    def _changed(self) -> tuple[str, ...] | None:
        delivery, pull = self._delivery, self._delivery.pull
        if pull is not None:
            base = self._mirror.find(f"refs/heads/{pull.base_branch}") or pull.base
            self._mirror.fetch(pull.head, self._head_ref(pull.number))
            return self._mirror.changed_by_request(base, pull.head)
        if delivery.event == "push" and delivery.ref.startswith("refs/heads/"):
            return self._mirror.changed_by_push(delivery.ref, delivery.before, delivery.after)
        return None


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
