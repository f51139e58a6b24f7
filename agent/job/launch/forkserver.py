"""The process behind `agent.job.launch.launcher.ForkServer`: everything is imported, so that a job starts in milliseconds.

One SOCK_SEQPACKET message asks, one answers: {"folder": PATH} -> {"pid": N} | {"error": TEXT}. It ends when the other
side is closed. Supervisors that have ended are reaped by the kernel (SIGCHLD is ignored).
"""

import contextlib
import json
import signal
import socket
import sys
from pathlib import Path

from agent.errors import AgentError
from agent.job.launch import launcher as launch
from agent.job.launch import warming


def main() -> None:
    """Serve launches on the socket whose number is the first argument."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    warming.warm_up()
    # A daemon that is killed while it waits for an answer needs none: the next one finds the job by its folder.
    with socket.socket(fileno=int(sys.argv[1])) as requests, contextlib.suppress(ConnectionError):
        while data := requests.recv(1 << 16):
            requests.sendall(json.dumps(_answer(data)).encode())
            warming.warm_up_actions()  # while nobody waits


def _answer(data: bytes) -> dict[str, object]:
    path = Path(json.loads(data)["folder"])
    folder = launch.open_job_folder(path)
    if folder is None:
        return {"error": "there is no such job folder"}
    try:
        if folder.has_sealed():
            warming.warm_up_unsealing()
        if folder.has_stages():
            warming.warm_up_stages()
        return {"pid": launch.fork_supervisor(folder)}
    except (AgentError, OSError) as error:
        return {"error": str(error)}


if __name__ == "__main__":
    main()
