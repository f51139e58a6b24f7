"""Apps of jobs: ports that a real job on a real agent opens, used through the server; and `kill -9` of everything in between."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.lab import Lab, wait_for

ECHO = Path(__file__).parent.parent / "support" / "echo_app.py"
FLOW = """
  serve:
    runs-on: self-hosted
    apps:
      web: {{opens: "/hello?name=ada"}}
    steps:
      - run: |
          python3 {echo} $PORT_0 &
          until [ -e {folder}/go ]; do sleep 0.05; done
"""


@pytest.fixture
def run(lab: Lab) -> int:
    """A run whose job serves the app `web`, which is ready."""
    lab.add_agent("box")
    run = lab.submit(lab.write_flow(FLOW.format(folder=lab.folder, echo=ECHO)))
    wait_for_app(lab, run, "ready")
    return run


def app_of(lab: Lab, run: int) -> dict[str, Any]:
    (app,) = lab.get("run", "apps", str(run))["apps"]
    return dict(app)


def wait_for_app(lab: Lab, run: int, state: str) -> dict[str, Any]:
    return dict(
        wait_for(
            lambda: (
                (apps := lab.get("run", "apps", str(run))["apps"]) and apps[0]["state"] == state and apps[0]
            ),
            f"the app to be {state}",
        )
    )


@contextmanager
def forwarding(lab: Lab, run: int, *words: str) -> Iterator[str]:
    """`agent run forward` beside the test: the URL that it prints."""
    with lab.beside("run", "forward", str(run), *words, "--format", "json") as process:
        yield json.loads(process.stdout.readline())["url"]


def fetch(url: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, data, timeout=60) as answer:
        return bytes(answer.read())


def test_a_local_port_leads_to_an_app_of_a_job(lab: Lab, run: int) -> None:
    app = app_of(lab, run)
    assert (app["name"], app["job"]) == ("web", "serve")
    assert 20000 <= app["port"] < 30000
    with forwarding(lab, run) as url:
        assert json.loads(fetch(f"{url}/hello?name=ada"))["path"] == "/hello?name=ada"
        much = bytes(range(256)) * (16 << 12)  # 16 MiB
        assert fetch(f"{url}/echo", much) == much
    shown = lab.agent("run", "show", str(run)).out
    assert "web" in shown
    assert "ready" in shown
    (lab.folder / "go").touch()
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert lab.run(run)["jobs"][0]["apps"][0]["state"] == "gone"
    late = lab.agent("run", "forward", str(run))
    assert (late.code, "the app serve/web is gone" in late.err) == (1, True)
