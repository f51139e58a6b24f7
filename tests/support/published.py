"""Published actions, unmodified, from clones of their repositories: run by `agent flow run`, or by a server and an agent of it.

FLOW_PUBLISHED_ACTIONS names a folder with the clones, `OWNER/REPO` each; actions are not fetched from the network. What was run, and
when, is in docs/compatibility.md.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.lab import make_lab, run_agent

CLONES = os.environ.get("FLOW_PUBLISHED_ACTIONS", "")
# (flow, options) -> the lines of each job's log by its key, of a run that succeeds.
Run = Callable[..., dict[str, list[str]]]
WAYS = ("locally", "by a server")


def needs(*names: str) -> pytest.MarkDecorator:
    """Left out where FLOW_PUBLISHED_ACTIONS has no clone of one of them."""
    missing = [name for name in names if not CLONES or not (Path(CLONES) / name).exists()]
    return pytest.mark.skipif(
        bool(missing), reason=f"FLOW_PUBLISHED_ACTIONS has no clone of {', '.join(missing)}"
    )


def skip_without(repository: str, ref: str, *files: str) -> None:
    """Some clones lack the files of four MiB and more: nobody can run the action then."""
    folder = Path(CLONES) / repository
    for file in files:
        asked = ["git", "-c", "safe.directory=*", "cat-file", "-e", f"{ref}:{file}"]
        if subprocess.run(asked, cwd=folder, capture_output=True, check=False).returncode:
            pytest.skip(f"the clone of {repository} has no {file} at {ref}")


@contextmanager
def open_way(name: str, folder: Path) -> Iterator[Run]:
    """One of WAYS; its runs share caches."""
    places = {"AGENT_ACTIONS_URL": f"file://{CLONES}/{{owner}}/{{repo}}"}
    folder.mkdir()
    if name == "locally":

        def run_here(flow: Path, *options: str) -> dict[str, list[str]]:
            told = {**places, "AGENT_STATE": str(folder / "state")}
            done = run_agent(
                "flow", "run", flow, "--format", "json", *options, cwd=flow.parent, environment=told
            )
            assert done.code == 0, done.out + done.err
            lines: dict[str, list[str]] = {}
            for record in done.records():
                if record["kind"] == "log":
                    lines.setdefault(record["job"], []).append(record["text"])
            return lines

        yield run_here
        return
    with make_lab(folder) as lab:
        lab.add_agent("box", environment=places)

        def run_there(flow: Path, *options: str) -> dict[str, list[str]]:
            number = lab.submit(flow, "--source", "snapshot", *options)
            view = lab.wait_for_run(number)
            lines = {job["key"]: lab.lines(number, job["key"]) for job in view["jobs"]}
            assert view["conclusion"] == "success", lines
            return lines

        yield run_there
