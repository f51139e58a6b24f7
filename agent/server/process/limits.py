"""Upper bounds of one server: what strangers, users and jobs may send."""

from dataclasses import dataclass, field

from agent.server.process.deadlines import Deadlines


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Upper bounds for what strangers and users may send."""

    json_bytes: int = 4 << 20
    snapshot_bytes: int = 4 << 30
    code_bytes: int = 16 << 30  # of runs' repositories on this server's disk: a cache
    artifact_bytes: int = 64 << 30
    dataset_file_bytes: int = 64 << 30
    dataset_files: int = 1_000_000  # of one version
    connections: int = 0  # in all, of one server process; 0: what its open files leave room for
    connections_of_stranger: int = 256  # of one address, before anybody on them has shown who they are
    connections_before_proof: int = 2048  # of agents
    deadlines: Deadlines = field(default_factory=Deadlines)
    handshake_seconds: float = 15.0
    stream_bytes: int = 1 << 20  # of one record that is sent to a flow
    hook_bytes: int = 25 << 20  # a webhook's body: what GitHub sends at most
    bodies_bytes: int = 256 << 20  # of requests' bodies that are in memory at a time, in all
    bodies_of_client_bytes: int = 64 << 20  # and of one address
    failures_per_minute: int = 60  # refused tokens and signatures of one client address
    requests_per_second: float = 200.0  # of one token, or one address without a token; 0: no limit
    requests_burst: int = 2000  # so many at once
    least_free_bytes: int = 256 << 20  # of disk: below it a server says that it is not ready
