"""`agent demo`: everything that this product promises, once, for real, in a temporary folder.

A server, an agent, a git repository with a published action, a sealed secret, a training flow of two jobs. The
commands are the ones that a user types; what they printed and brought back is then checked, promise by promise.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from agent.cli.arguments import describe
from agent.cli.artifact_download import DownloadRequest, download_artifacts
from agent.cli.demo.checks import Evidence, check_promises
from agent.cli.demo.stage import SECRET, DemoWorld
from agent.cli.flow.submit import SubmitOptions, start_run
from agent.cli.run.follow import follow_run
from agent.cli.terminal.screen import TextScreen
from agent.cli.terminal.tables import coloured, duration
from agent.errors import AgentError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    describe(
        parser,
        "Server, agent and a real training flow, end to end, in a temporary folder.",
        "agent demo --keep",
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave all of it running, and say how to explore it"
    )
    parser.set_defaults(handler=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    folder = Path(tempfile.mkdtemp(prefix="flow-demo-")).resolve()
    stage = DemoWorld(folder)
    out = sys.stdout
    began = time.monotonic()
    try:
        evidence = _perform(stage, out)
        is_complete = _print_promises(evidence, time.monotonic() - began, out)
        if arguments.keep and is_complete:
            _print_how_to_explore(stage, out)
            stage = DemoWorld(folder)  # what runs is no longer ours to stop
    except AgentError as error:
        error.hint = error.hint or f"the logs are in {folder}"
        stage.keeps_folder = True
        raise
    finally:
        if not arguments.keep:
            stage.strike()
    return 0 if is_complete else 1


class _Recorder(TextScreen):
    """Shows the run and remembers what was shown, and when."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self.records: list[Mapping[str, Any]] = []
        self.seen_at: list[float] = []

    def show(self, record: Mapping[str, Any]) -> None:
        """Show and remember."""
        self.records.append(record)
        self.seen_at.append(time.time())
        super().show(record)


def _perform(stage: DemoWorld, out: TextIO) -> Evidence:
    """Set the stage, run the flow, and gather what there is to see."""
    _say(out, f"a server, on a free port of this machine, its data in {stage.data}")
    stage.start_server()
    _say(out, "a GPU box: it makes its keys, registers, and connects")
    stage.register_agent()
    stage.start_agent()
    _say(out, f"this machine: {stage.describe_machine()}")
    _say(out, "a git repository with a published action, acme/split-data, tagged v1")
    stage.publish_action()
    _say(out, "a secret, DATA_KEY, encrypted at rest and sealed to the agent that leases the job")
    stage.store_secret()
    flow = stage.make_project()
    _say(out, f"the flow {flow.name}, submitted with a snapshot of its folder\n")
    client = stage.client()
    run = start_run(client, SubmitOptions(file=flow))
    screen = _Recorder(out)
    follow_run(client, run, screen)
    download_artifacts(client, run, DownloadRequest(folder=stage.folder / "artifacts"), "json", stage.discard)
    view = client.get(f"/api/v1/runs/{run}")
    return Evidence(view, screen.records, screen.seen_at, stage.folder, stage.agent_state, stage.data, SECRET)


def _print_promises(evidence: Evidence, seconds: float, out: TextIO) -> bool:
    out.write("\n")
    is_complete = True
    for promise in check_promises(evidence):
        is_complete = is_complete and promise.is_seen
        mark = (
            coloured("✓ seen   ", "success", out)
            if promise.is_seen
            else coloured("✗ NOT SEEN", "failure", out)
        )
        out.write(f"{mark}  {promise.text}: {promise.found}\n")
    out.write(f"\n{'All of it' if is_complete else 'Not all of it'} was seen, in {duration(seconds)}.\n")
    return is_complete


def _print_how_to_explore(stage: DemoWorld, out: TextIO) -> None:
    settings = " ".join(f"{name}={value}" for name, value in stage.settings().items())
    out.write(
        f"""
The server and the agent go on. In another terminal:

  export {settings}
  agent run list                 agent run show 1            agent run logs 1
  agent status                   agent secret list           agent artifact download 1
  agent flow submit {stage.project / "train-iris.yml"} --input epochs=500 --follow

To end them and remove everything:

  kill {" ".join(map(str, stage.process_ids()))}; rm -rf {stage.folder}
"""
    )


def _say(out: TextIO, text: str) -> None:
    out.write(f"{coloured('==>', 'bold', out)} {text}\n")
    out.flush()
