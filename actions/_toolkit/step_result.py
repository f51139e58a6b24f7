"""A program: what an equal run of a step's action gave is asked of the server, or told to it.

The agent runs it as a process of a step whose action is cached (`cache: true`). `FLOW_RESULT_KEY` says which result; with
`FLOW_RESULT`, JSON text of the outputs, it is kept, else the output `result` is what is found. A server that does not answer is
no error: then the action runs.
"""

import json
import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _toolkit import http
from _toolkit.step import StepError, say, set_output

http.DELAYS_SECONDS = (
    0.2,
    0.8,
    3.0,
)  # a result saves time: it is not waited for as long as for what a job needs


def main() -> None:
    """Ask, or tell."""
    url = (
        f"{os.environ['ACTIONS_RESULTS_URL'].rstrip('/')}/api/v1/step-results/{os.environ['FLOW_RESULT_KEY']}"
    )
    headers = {"Authorization": f"Bearer {os.environ['ACTIONS_RUNTIME_TOKEN']}"}
    outputs = os.environ.get("FLOW_RESULT")
    try:
        if outputs is None:
            set_output("result", http.request("GET", url, None, headers).body.decode())
        else:
            body = {"outputs": json.loads(outputs), "step": os.environ.get("FLOW_RESULT_STEP", "")}
            sent = {**headers, "Content-Type": "application/json"}
            http.request("PUT", url, json.dumps(body).encode(), sent)
    except http.HttpError as error:
        if error.status != 404:  # there is none
            say(f"Results of earlier runs can't be had: {error}")
    except StepError as error:
        say(f"Results of earlier runs can't be had: {error}")


if __name__ == "__main__":
    main()
