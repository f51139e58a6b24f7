"""The job's network, and the way from its containers to services that listen on this machine's loopback address alone.

    container --> GATEWAY:PORT --(its address is of this network, or this machine's)--> 127.0.0.1:PORT

A local run serves its code, artifacts and caches to nobody but this machine, and a loopback address is another one in a container. So
the job listens at the address that the machine has on the job's own network, hands on each connection from there, and tells its
steps that address. What answers asks for a job's token as ever.
"""

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from agent.errors import AgentError
from agent.job.containers.sweeping import job_labels
from agent.job.output.recorder import StepLog
from agent.job.steps.state import RunningJob

if TYPE_CHECKING:
    from agent.containers.engine import Engine

_SERVED: Final = (
    "code_url",
    "services_url",
    "server_url",
)  # settings with the address of something that serves the job
_PIECE_BYTES: Final = 64 << 10


async def ensure_network(job: RunningJob, engine: "Engine", log: StepLog) -> None:
    """Have the job's containers share a network, on which they reach what serves the job. Raises AgentError."""
    if not job.containers.network:
        name = make_name(job, "network")
        await engine.create_network(name, job_labels(job.folder))
        job.containers.network = name
        await _hand_on_services(job, engine, log)


async def reach_services(job: RunningJob, engine: "Engine", log: StepLog) -> None:
    """Have a container action reach what serves the job: on a network of the job's, where that is needed. Raises AgentError."""
    if _list_loopback(job):
        await ensure_network(job, engine, log)


def make_name(job: RunningJob, part: str) -> str:
    """A name for something that the job makes at the engine."""
    return f"{job.folder.tracking_id}_{part}_{os.urandom(4).hex()}"


def close_ways(job: RunningJob) -> None:
    """Hand on no further connection."""
    while job.containers.ways:
        job.containers.ways.pop().close()


def _list_loopback(job: RunningJob) -> Mapping[str, str]:
    """The addresses, by setting, that lead to this very machine: in a container they lead nowhere."""
    urls = {name: getattr(job.settings, name) for name in _SERVED}
    return {name: url for name, url in urls.items() if url and _is_loopback(urlsplit(url).hostname or "")}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _hand_on_services(job: RunningJob, engine: "Engine", log: StepLog) -> None:
    urls = _list_loopback(job)
    if not urls:
        return
    try:
        gateway, subnet = await engine.find_gateway(job.containers.network)
        told: dict[str, Any] = {}
        for name, url in urls.items():
            told[name] = await _open_way(job, url, gateway, subnet)
    except (AgentError, OSError, ValueError) as error:
        log.say(
            "##[warning]What serves this job listens on this machine alone, and the engine's containers are not on it: they reach"
            f" neither its code nor its artifacts and caches ({error})"
        )
        return
    job.settings = replace(job.settings, **told)
    job.view = None  # contexts are made with the addresses


async def _open_way(job: RunningJob, url: str, gateway: str, subnet: str) -> str:
    parts = urlsplit(url)
    place = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
    server = await asyncio.start_server(partial(_hand_on, place, ipaddress.ip_network(subnet)), gateway, 0)
    job.containers.ways.append(server)
    port = server.sockets[0].getsockname()[1]
    return parts._replace(netloc=f"{gateway}:{port}").geturl()


async def _hand_on(
    place: tuple[str, int],
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """A connection from the network, as it comes."""
    try:
        peer = ipaddress.ip_address(writer.get_extra_info("peername")[0])
        if peer not in network and not _is_this_machines(str(peer)):
            return
        inner_reader, inner_writer = await asyncio.open_connection(*place)
        try:
            await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        finally:
            inner_writer.close()
    except OSError:  # whoever asked, or what answers, has gone
        return
    finally:
        writer.close()


def _is_this_machines(address: str) -> bool:
    """Whether a connection comes from this machine: Docker's rules make of its address on the network another one of its own."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as trying:
        try:
            trying.bind((address, 0))
        except OSError:
            return False
    return True


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE_BYTES):
        writer.write(piece)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
