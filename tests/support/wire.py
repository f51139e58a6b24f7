"""The vocabulary of the wire's tests: identifiers, a spec, and two protocols that talk to each other in memory."""

from agent.ids import JobId, RunId, make_id
from agent.spec.job import JobSpec, SpecStepKind, StepSpec, StepsWork
from agent.spec.resources import Inventory
from agent.wire import messages as m
from agent.wire.agent_side import AgentProtocol
from agent.wire.server_side import ConnectionTerms, Event, KnownAgent, ServerProtocol

AGENT = make_id("agent", b"a" * 13)
NONCE = b"n" * 32
INVENTORY = Inventory("box", "Linux", "24.04", "X64", "6.8.0", "a cpu", 8, 1 << 34)


def job_id(number: int) -> str:
    return make_id("job", number.to_bytes(13, "big"))


def job_spec(job: str, *scripts: str) -> JobSpec:
    steps = tuple(
        StepSpec(SpecStepKind.RUN, f"step{index}", run=script)
        for index, script in enumerate(scripts or ("true",))
    )
    return JobSpec(RunId(1), JobId(job), "train", "train", StepsWork(steps))


def ready(*held: m.HeldJob) -> m.Ready:
    return m.Ready(INVENTORY, ("self-hosted", "linux"), 4, held)


def sign(challenge: m.Challenge) -> bytes:
    """A stand-in for Ed25519: whoever can repeat the nonce is the agent."""
    return challenge.nonce.ljust(64, b"!")


def verify(challenge: m.Challenge, signature: bytes) -> bool:
    return signature == sign(challenge)


class Pair:
    """An agent's and a server's protocol; frames lie in two queues until they are delivered."""

    def __init__(self, window_bytes: int = 1000) -> None:
        self.agent = AgentProtocol(AGENT, "flow-agent/test", sign)
        self.server = ServerProtocol("server_1", NONCE, ConnectionTerms(5.0, window_bytes))
        self.known: KnownAgent | None = KnownAgent("box", verify)
        self.to_server: list[str | bytes] = []
        self.to_agent: list[str | bytes] = []

    def collect(self) -> None:
        self.to_server += self.agent.outgoing()
        self.to_agent += self.server.outgoing()

    def deliver_to_server(self) -> tuple[Event, ...]:
        frame = self.to_server.pop(0)
        events = (
            self.server.receive_text(frame) if isinstance(frame, str) else self.server.receive_bytes(frame)
        )
        if any(isinstance(event, m.Hello) for event in events):
            self.server.challenge(self.known)
        self.collect()
        return events

    def deliver_to_agent(self) -> tuple[m.ServerMessage, ...]:
        frame = self.to_agent.pop(0)
        messages = (
            self.agent.receive_text(frame) if isinstance(frame, str) else self.agent.receive_bytes(frame)
        )
        self.collect()
        return messages

    def exchange(self) -> list[object]:
        """Deliver until nothing is under way; everything that either side was told, in order."""
        told: list[object] = []
        self.collect()
        while self.to_server or self.to_agent:
            told += self.deliver_to_server() if self.to_server else self.deliver_to_agent()
        return told

    def open(self, *held: m.HeldJob) -> list[object]:
        """Go through the opening of the conversation up to `ready`."""
        self.agent.hello()
        told = self.exchange()
        self.agent.ready(ready(*held))
        return told + self.exchange()


def ready_pair(*held: m.HeldJob, window_bytes: int = 1000) -> Pair:
    pair = Pair(window_bytes)
    pair.open(*held)
    return pair
