"""Behaviours through a real server and a real agent: an area's runs are submitted together, and looked at one by one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.cli.client import Client
from agent.cli.flow.submit import SubmitOptions, start_run
from agent.cli.run.follow import run_record
from agent.errors import AgentError
from support.behaviours import Behaviour, Seen, read_table, write_project
from support.lab import Lab, make_lab, wait_for

_MAX_JOBS = "4"


@dataclass
class BehaviourLab:
    """The lab, and what has been submitted to it: a run's number, or why there is none."""

    lab: Lab
    client: Client
    runs: dict[str, int | str] = field(default_factory=dict)

    def run(self, behaviour: Behaviour) -> Seen:
        """The records of the behaviour's run, once it has ended."""
        if behaviour.name not in self.runs:
            self._submit_area(behaviour)
        run = self.runs[behaviour.name]
        if isinstance(run, str):
            return Seen(refusal=run)
        if behaviour.is_cancelled:
            self._cancel(behaviour, run)
        view = wait_for(lambda: self._ended(run), f"the end of run {run}, {behaviour.name}")
        records = [record for job in view["jobs"] for record in self._records(job)]
        return Seen([*records, run_record(view)])

    def _submit_area(self, behaviour: Behaviour) -> None:
        """All of an area that can run side by side; one that is to be cancelled begins when it is looked at."""
        together = [
            other
            for other in read_table().values()
            if other.area == behaviour.area and not other.is_cancelled
        ]
        for item in [behaviour] if behaviour.is_cancelled else together:
            self.runs[item.name] = self._submit(item)

    def _submit(self, behaviour: Behaviour) -> int | str:
        given = behaviour.given
        folder = self.lab.folder / "projects" / behaviour.name
        submission = SubmitOptions(
            file=write_project(behaviour, folder),
            event=given.get("event", ""),
            payload=_payload(given),
            inputs=given.get("inputs", {}),
            secrets=given.get("secrets", {}),
            variables=given.get("vars", {}),
            source="snapshot" if "files" in given else "none",
        )
        try:
            return start_run(self.client, submission)
        except AgentError as error:
            return str(error)

    def _cancel(self, behaviour: Behaviour, run: int) -> None:
        """Cancel when the line has been printed that the behaviour waits for."""
        sign = behaviour.expected["cancel-when"]
        (job, *_) = wait_for(lambda: self._view(run)["jobs"], "a job")
        for event in self.client.events(f"/api/v1/jobs/{job['id']}/events"):
            if event.data.get("text") == sign:
                self.client.post(f"/api/v1/runs/{run}/cancel", {"reason": "interrupted"})
                return

    def _ended(self, run: int) -> dict[str, Any] | None:
        view = self._view(run)
        return view if view["status"] == "completed" else None

    def _view(self, run: int) -> dict[str, Any]:
        return dict(self.client.get(f"/api/v1/runs/{run}"))

    def _records(self, job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        if job["started"] is None:
            said = ("conclusion", "outputs", "failure_kind", "message")
            yield {"kind": "job", "job": job["key"], **{name: job[name] for name in said}}
            return
        for event in self.client.events(f"/api/v1/jobs/{job['id']}/events"):
            yield event.data


@contextmanager
def make_behaviour_lab(folder: Path, environment: Mapping[str, str]) -> Iterator[BehaviourLab]:
    """A lab with one agent that runs a few jobs at a time."""
    ours = {name: value for name, value in environment.items() if name != "AGENT_STATE"}
    with make_lab(folder) as lab:
        lab.add_agent("box", "--max-jobs", _MAX_JOBS, environment=ours)
        yield BehaviourLab(lab, Client(lab.url, lab.admin_token))


def _payload(given: Mapping[str, Any]) -> Mapping[str, object]:
    import json

    return dict(json.loads(given.get("payload", "{}")))
