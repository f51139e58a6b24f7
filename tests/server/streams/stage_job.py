"""A running job whose work is stages, as its supervisor speaks to the server; and doors of deployed flows."""

import itertools
import json
from typing import Any

import httpx
from server.toolkit_job import Job
from server.vocabulary import ServerProcess

from agent import codec
from agent.spec.stages import StageSpec, StagesWork

_names = itertools.count()


def receiving(flow: str, *paths: str) -> StagesWork:
    """A flow that receives at `paths` and does nothing with it."""
    triggers = [
        StageSpec(f"in {place}", "receive", {"path": path}, ("end",)) for place, path in enumerate(paths)
    ]
    return StagesWork((*triggers, StageSpec("end", "noop")), flow)


class StageJob(Job):
    """A job of the flow `flow`, on an agent of its own."""

    def __init__(self, server: ServerProcess, flow: str, *paths: str, **more: Any) -> None:
        super().__init__(server, f"stages-{next(_names)}", **more)
        self.flow = flow
        ((text,),) = server.sql("SELECT spec FROM jobs WHERE id = ?", self.assign.job)
        spec = json.loads(text) | {"work": {"kind": "stages", **codec.to_json(receiving(flow, *paths))}}
        spec.pop("steps", None)
        server.sql("UPDATE jobs SET spec = ? WHERE id = ?", json.dumps(spec), self.assign.job)

    def ask(self, path: str, /, **body: Any) -> httpx.Response:
        return self.server.http.post(f"/api/v1/stages/{path}", json=body, headers=self.headers)

    def take(self, path: str, **more: Any) -> list[dict[str, Any]]:
        answer = self.ask("queue/take", path=path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()["records"]

    def settle(self, path: str, *ids: str) -> None:
        answer = self.ask("queue/settle", path=path, ids=ids)
        assert answer.status_code == 204, answer.text

    def bookmarks(self, prefix: str = "") -> dict[str, bool]:
        answer = self.server.http.get(f"/api/v1/stages/bookmarks?prefix={prefix}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return {one["name"]: one["is_held"] for one in answer.json()["bookmarks"]}


def add_door(
    server: ServerProcess,
    flow: str,
    path: str,
    *,
    methods: tuple[str, ...] = ("POST",),
    secret: str = "",
    token: str = "",
) -> str:
    """As if the flow were deployed, and received there: the address."""
    columns = "project, name, flow, file, text, replicas, generation, is_alone, actor, created_at, changed_at"
    server.sql(
        f"INSERT INTO deployments ({columns}) VALUES (1, ?, ?, 'f.yml', '', 0, 1, 0, '', 0, 0)"
        " ON CONFLICT DO NOTHING",
        *(flow, flow),
    )
    server.sql(
        "INSERT INTO deployment_paths (project, path, deployment, flow, methods, secret, token)"
        " SELECT 1, ?, id, flow, ?, ?, ? FROM deployments WHERE flow = ?",
        *(path, json.dumps(methods), secret, token, flow),
    )
    return f"/streams/default{path}"


def new_flow() -> str:
    """A flow's name that nobody else has."""
    return f"Flow {next(_names)}"
