"""What operators see: figures, readiness, logs, traces; and what readmes and editors show."""

import json
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families
from server.vocabulary import ServerProcess, TestAgent, journal, log, step, wait_for

from agent.server.process.metrics import MOST_FLOWS, Metrics
from agent.server.runs.badges import draw_badge
from agent.server.store.runs import RunRow
from agent.spec.outcome import Conclusion

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]
HOSTILE = '"><script>alert(1)</script>&\u202e\x1b]8;;'


def figures(server: ServerProcess, **headers: str) -> dict[str, float]:
    answer = server.http.get("/metrics", headers=headers or {"Authorization": f"Bearer {server.token}"})
    assert answer.status_code == 200, answer.text
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def run_one(server: ServerProcess, agent: TestAgent) -> int:
    run = server.submit()
    assign = agent.take()
    records = (
        step("running"),
        log("hello\n"),
        step("completed", outcome="failure", conclusion="failure", seconds=2.0),
    )
    agent.finish(assign, journal(assign, *records, conclusion=Conclusion.FAILURE))
    return run


def test_a_run_is_counted_from_its_submission_to_its_end(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    agent = make_agent(server).connect()
    run_one(server, agent)
    labels = [("flow", "flow.yml"), ("project", "default")]
    ended = f"flow_agent_runs_finished_total{[('conclusion', 'failure'), *labels]}"
    found = wait_for(lambda: (seen := figures(server)).get(ended) and seen, "the run to be counted")
    assert found[f"flow_agent_runs_submitted_total{labels}"] == 1
    assert found["flow_agent_job_queue_seconds_count[('project', 'default')]"] == 1
    assert found["flow_agent_run_first_step_seconds_count[]"] == 1
    assert found["flow_agent_run_seconds_count[('conclusion', 'failure'), ('project', 'default')]"] == 1
    assert found["flow_agent_agents[('state', 'online')]"] == 1
    assert found["flow_agent_jobs[('status', 'queued')]"] == 0
    assert found["flow_agent_journal_bytes_total[]"] > 0
    server.submit()
    wait_for(lambda: figures(server)["flow_agent_jobs[('status', 'assigned')]"] == 1)


def test_requests_are_counted_by_route_and_never_by_path(make_server: Servers) -> None:
    server = make_server()
    for path in ("/runs/1", "/runs/2", "/secrets", "/nowhere/at-all"):
        server.api.get(path)
    names = [name for name in figures(server) if name.startswith("flow_agent_http_request_seconds_count")]
    routes = {name.split("'route', '")[1].split("'")[0] for name in names}
    assert {"/api/v1/runs/{run:run}", "/api/v1/secrets", "none"} <= routes
    assert not any("at-all" in name for name in names)


def test_the_number_of_flows_that_are_told_apart_is_bounded() -> None:
    metrics = Metrics()
    for number in range(MOST_FLOWS + 50):
        row = RunRow(
            **dict.fromkeys(RunRow.__slots__)
            | {
                "id": number,
                "project": 1,
                "file": f"flow-{number}.yml",
                "created_at": 5.0,
                "status": "queued",
            }
        )
        metrics.note_changes(5.0, [row], {1: "default"})
    text = metrics.render({}, {}).decode()
    assert text.count('flow_agent_runs_submitted_total{flow="flow-') == MOST_FLOWS
    assert 'flow_agent_runs_submitted_total{flow="other",project="other"} 50.0' in text


def test_figures_are_for_admins_and_for_the_metrics_token(make_server: Servers) -> None:
    server = make_server(metrics="scrape-me-0123456789")
    assert server.http.get("/metrics").status_code == 401
    assert server.http.get("/metrics", headers={"Authorization": "Bearer scrape-me"}).status_code == 401
    assert figures(server, Authorization="Bearer scrape-me-0123456789")
    assert figures(server)
    assert server.http.get("/api/v1/runs", headers={"Authorization": "Bearer scrape-me-0123456789"}).is_error
    assert make_server(metrics="open").http.get("/metrics").status_code == 200


def test_a_server_whose_disk_is_full_is_not_ready(make_server: Servers) -> None:
    assert make_server().http.get("/readyz").text == "ready\n"
    answer = make_server(limits={"least_free_bytes": 1 << 60}).http.get("/readyz")
    assert answer.status_code == 503
    assert answer.text.startswith("disk: ")


def test_the_flow_schema_is_the_one_of_the_command_line(server: ServerProcess) -> None:
    import io

    from agent.cli.flow.language import run_schema

    out = io.StringIO()
    run_schema(out)
    assert server.http.get("/schema/flow.json").json() == json.loads(out.getvalue())


def test_a_badge_is_for_all_only_when_its_project_says_so(make_server: Servers) -> None:
    server = make_server()
    path = "/badge/default/flow.yml.svg"
    assert server.http.get(path).status_code == 401
    assert server.http.get("/badge/nothing/flow.yml.svg").status_code == 401
    bearer = {"Authorization": f"Bearer {server.token}"}
    assert "no runs" in server.http.get(path, headers=bearer).text
    assert server.http.get("/badge/nothing/flow.yml.svg", headers=bearer).status_code == 404
    server.submit()
    changed = server.api.patch("/projects/default", json={"settings": {"public_badges": True}})
    assert changed.is_success, changed.text
    answer = server.http.get(path)
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "queued" in answer.text
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "queued" in server.http.get("/badge/default/flow.svg").text


@pytest.mark.parametrize("text", [HOSTILE, "a" * 10_000, "", "\u00e4\u4e2d", "]]>", "&lt;"])
def test_a_badge_is_a_picture_of_its_text_and_nothing_else(text: str) -> None:
    drawn = ET.fromstring(draw_badge(text, text))
    names = {element.tag.rpartition("}")[2] for element in drawn.iter()}
    assert names == {"svg", "title", "clipPath", "g", "rect", "text"}
    assert not any(name.startswith("on") or name == "href" for e in drawn.iter() for name in e.attrib)
    assert len(draw_badge(text, text)) < 3000


def test_a_log_line_is_a_json_object_with_request_and_run_and_without_secrets(make_server: Servers) -> None:
    server = make_server(log_format="json")
    run = server.submit()
    request = server.api.get(f"/runs/{run}?project=default").headers["x-request-id"]
    server.api.get("/runs?cursor=S3CRET", headers={"Authorization": "Bearer S3CRET"})
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == request]
    assert (line["run"], line["method"], line["status"]) == (str(run), "GET", 200)
    assert line["path"] == f"/api/v1/runs/{run}"
    assert "S3CRET" not in server.log.read_text()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """A receiver of OTLP over HTTP: the spans that came."""
    spans: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = ExportTraceServiceRequest()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            request.ParseFromString(body)
            spans.extend(
                span
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            )
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    yield spans
    receiver.shutdown()
    receiver.server_close()


def test_a_run_is_sent_as_a_trace_of_run_job_and_step(
    collector: list[Any], make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    run = run_one(server, make_agent(server).connect())
    wait_for(lambda: len(collector) == 3, "three spans")
    spans = {span.name: span for span in collector}
    top, job, one = spans["run flow.yml"], spans["job train"], spans["step Fit"]
    assert (job.parent_span_id, one.parent_span_id) == (top.span_id, job.span_id)
    assert {span.trace_id for span in collector} == {top.trace_id}
    facts = {fact.key: fact.value for fact in top.attributes}
    assert facts["flow.run"].int_value == run
    assert facts["flow.project"].string_value == "default"
    assert top.status.code == 2  # an error
    assert one.end_time_unix_nano - one.start_time_unix_nano == 2_000_000_000


def test_an_endpoint_that_is_away_hurts_no_run(
    monkeypatch: pytest.MonkeyPatch, make_server: Servers, make_agent: Agents
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    server = make_server()
    run = run_one(server, make_agent(server).connect())
    assert server.run(run)["conclusion"] == "failure"
    assert httpx.get(f"{server.url}/readyz").text == "ready\n"


def test_gpus_of_connected_agents_are_told_one_by_one_up_to_a_bound() -> None:
    from agent.server.agents import gpu_metrics

    gpu = {"uuid": "GPU-a", "utilization_percent": 97, "power_watts": None, "memory_used_bytes": 5}
    said = {"box": {"gpus": [gpu, gpu, {"uuid": 7}, "nonsense"]}, "other": {}, "third": {"gpus": "none"}}
    text = gpu_metrics.render_gpus(said).decode()
    assert 'flow_agent_gpu_utilization_percent{agent="box",gpu="GPU-a"} 97.0' in text
    assert "power_watts{" not in text, "what can't be had is not 0"
    assert "flow_agent_gpus_untold 0.0" in text
    many = {"box": {"gpus": [{**gpu, "uuid": f"GPU-{place}"} for place in range(gpu_metrics.MOST_GPUS + 5)]}}
    text = gpu_metrics.render_gpus(many).decode()
    assert text.count("utilization_percent{") == gpu_metrics.MOST_GPUS
    assert "flow_agent_gpus_untold 5.0" in text
