"""A connection to an app, handed to the daemon as an open file: its bytes never pass through the supervisor.

On the job's control socket: `{"kind": "attach", "app": NAME, ...}` is answered with `{"ok": true}` and the connection in
one message, or with `{"ok": false, "error": TEXT}`.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from typing import Any

from agent.errors import AgentError, RefusedError
from agent.job.apps.apps import find_app
from agent.job.apps.listening import connect
from agent.job.steps.state import RunningJob
from agent.policy import load_apps_policy


async def hand_over(job: RunningJob, request: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
    """Answer `request` with a connection. Raises AgentError, with nothing said yet, when there is none."""
    app = find_app(job, str(request["app"]))
    settings = job.settings
    if not load_apps_policy(settings.rules, must_exist=settings.policy_must_exist).allow:
        raise RefusedError(
            "the policy of this machine lets nobody use apps of jobs",
            where=settings.agent_name,
            hint=f"{settings.policy_file}: apps.allow",
        )
    try:
        made = await connect(app.machine_port)
    except OSError:
        hint = (
            "in a container it has to listen on 0.0.0.0"
            if app.is_published
            else "the job may still be starting it"
        )
        raise AgentError(f"nothing listens on port {app.port}, the app '{app.name}'", hint=hint) from None
    line = writer.get_extra_info("socket")
    with made, socket.socket(fileno=os.dup(line.fileno())) as answering:
        socket.send_fds(answering, [b'{"ok": true}\n'], [made.fileno()])
