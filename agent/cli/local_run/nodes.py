"""A job that wants several machines (`nodes:`), on this one: it is the first and only node of itself."""

import socket
from collections.abc import Mapping

from agent.spec.job import GangNode, JobSpec


def stand_in(spec: JobSpec) -> Mapping[str, str]:
    """The variables that such a job is told its place by; none for a job of one machine.

    Another process may take the port before the job does: there is no way to keep it for a program that is not there yet.
    """
    if spec.nodes == 1:
        return {}
    from agent.daemon.machine import describe_node

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return describe_node(GangNode(rank=0, count=1, master_address="127.0.0.1", master_port=port))
