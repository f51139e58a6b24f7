"""Ports of apps that run in a container: published on this machine's loopback address, and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager

from agent.containers.blueprint import Blueprint, Port
from agent.job.apps.listening import has_listener
from agent.job.apps.ports import pick_port
from agent.job.steps.state import RunningJob


def publish_apps(job: RunningJob, blueprint: Blueprint) -> None:
    """Have the job's container, about to be made, hand on the ports of its apps. Raises AgentError when none is free.

    A port that the flow fixed is the container's own: on the machine any free one stands for it.
    """
    for app in job.apps:
        if not app.machine_port:
            app.machine_port, app.claim = pick_port()
        app.is_published = True
        blueprint.ports.append(Port(f"{app.port}/tcp", str(app.machine_port)))


@contextmanager
def publish_for_step(job: RunningJob, blueprint: Blueprint) -> Iterator[None]:
    """While the container of a step lives it hands on those ports that nothing on the machine listens on."""
    own = [
        app
        for app in job.apps
        if not app.is_published and app.machine_port and not has_listener(app.machine_port)
    ]
    for app in own:
        app.is_published = True
        blueprint.ports.append(Port(f"{app.port}/tcp", str(app.machine_port)))
    try:
        yield
    finally:
        for app in own:
            app.is_published = False
