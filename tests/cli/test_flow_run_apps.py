"""Apps of a local run: found at this machine's own address, which is said when the port is open."""

import json
import sys
import urllib.request
from pathlib import Path

from support.lab import Lab

ECHO = Path(__file__).parent.parent / "support" / "echo_app.py"
FLOW = """\
on: workflow_dispatch
jobs:
  serve:
    runs-on: self-hosted
    apps: {{web: {{opens: "/hello?t={{token}}"}}}}
    steps:
      - run: {python} {echo} $PORT_0 & until [ -e {folder}/go ]; do sleep 0.05; done; kill %1
"""


def test_a_local_run_says_where_its_app_is_and_it_answers_there(tmp_path: Path) -> None:
    flow = tmp_path / "work" / "flow.yml"
    flow.parent.mkdir()
    flow.write_text(FLOW.format(python=sys.executable, echo=ECHO, folder=tmp_path))
    lab = Lab(tmp_path)
    with lab.beside("flow", "run", flow, "--workspace", flow.parent, "--format", "json") as process:
        records = (json.loads(line) for line in process.stdout)
        told = [next(record for record in records if record["kind"] == "app") for _ in range(2)]
        assert [app["state"] for app in told] == ["waiting", "ready"]
        with urllib.request.urlopen(told[1]["url"], timeout=60) as answer:
            path = json.loads(answer.read())["path"]
        assert path.startswith("/hello?t=")
        assert len(path) == len("/hello?t=") + 40
        (tmp_path / "go").touch()
        *_, last = records
    assert (last["kind"], last["conclusion"]) == ("run", "success")
