"""dstack's apps for real: JupyterLab and Jupyter Notebook in a browser, and an API of FastAPI, all through the server's proxy.

The packages are those of `tests/requirements/notebook.txt`, installed once and kept: what a workflow asks pip for is there already.
"""

import os
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from end_to_end.app_words import visit, wait_for_app
from end_to_end.test_notebook import COMPUTE, open_signed_in
from support.git import make_repository
from support.jupyter import install_jupyterlab
from support.lab import Lab, run_agent, wait_for

WORKFLOWS = """\
workflows:
  - {name: ide, provider: lab, env: &kept [PIP_NO_INDEX=1, 'PYTHONPATH=PACKAGES']}
  - {name: pages, provider: notebook, env: *kept}
  - {name: api, provider: fastapi, file: src/main.py, env: *kept}
"""
PROGRAM = """\
from fastapi import FastAPI

app = FastAPI()


@app.get("/add")
def add(a: int, b: int) -> int:
    return a + b
"""


@pytest.mark.enable_socket
@pytest.mark.timeout(1200)
def test_jupyter_computes_in_a_browser_and_an_api_answers_through_the_server(
    lab: Lab, chromium: Any, tmp_path: Path
) -> None:
    programs = install_jupyterlab()
    packages = sysconfig.get_path("purelib", vars={"base": str(programs.parent)})
    files = {".dstack/workflows.yaml": WORKFLOWS.replace("PACKAGES", packages), "src/main.py": PROGRAM}
    project = make_repository(tmp_path / "project", files, tags=()).folder
    lab.add_agent("box", "--max-jobs", "3", environment={"PATH": f"{programs}:{os.environ['PATH']}"})
    runs = {name: submit(lab, project, name) for name in ("ide", "pages", "api")}
    page = open_signed_in(chromium, lab)
    for name, app, place, title in (
        ("ide", "lab", "lab", "JupyterLab"),
        ("pages", "notebook", "tree", "Home"),
    ):
        page.goto(f"{lab.url}/status/runs/{runs[name]}")
        page.click("#apps-table a")  # shown as a link once the page has heard that it is ready
        page.wait_for_url(f"http://{app}-0-**/{place}**")
        wait_for(lambda wanted=title: wanted in page.title(), f"the title of {app}")
        assert page.evaluate(COMPUTE, "1+1") == "2"
        assert "flow-" not in page.evaluate("document.cookie")
    wait_for_app(lab, runs["api"], "ready")
    with visit(lab, runs["api"]) as visitor:
        assert visitor.ask("/add?a=1&b=1").text == "2"
        assert "swagger" in visitor.ask("/docs").text
    for run in runs.values():
        assert lab.agent("run", "cancel", str(run)).code == 0


def submit(lab: Lab, project: Path, workflow: str) -> int:
    words = ("flow", "submit", "--format", "json", workflow)
    done = run_agent(*words, cwd=project, environment=lab.environment)
    assert done.code == 0, done.err
    return int(done.json()["run"])
