"""Validation of messages beyond the types of their fields. Pure.

The other side is not trusted: identifiers become file names and database keys, numbers become loop bounds and time-outs.
A key of a message that is wrong is named in the WireError.
"""

import math
from collections.abc import Callable
from typing import Any

from agent.ids import is_id
from agent.wire import messages as m
from agent.wire.errors import WireError

MAX_OFFSET = (1 << 63) - 1
MAX_LEASE = (1 << 63) - 1

_MAX_NAME = 200
_MAX_TEXT = 4000
_MAX_LABELS = 200


def validate(message: m.Message | m.JournalChunk) -> None:
    """Raises WireError('bad_message') when a field of `message` holds a value that makes no sense."""
    check = _CHECKS.get(type(message))
    if check is not None:
        check(message)


def _require(holds: bool, key: str, wanted: str) -> None:  # noqa: FBT001 - an assertion with a message
    if not holds:
        raise WireError("bad_message", f"'{key}' is not {wanted}")


def _check_lease(message: Any) -> None:
    _require(is_id("job", message.job), "job", "a job's identifier")
    _require(1 <= message.lease <= MAX_LEASE, "lease", "a lease number")


def _check_offset(message: Any) -> None:
    _check_lease(message)
    _require(0 <= message.offset <= MAX_OFFSET, "offset", "a journal offset")


def _check_part_offset(message: Any) -> None:
    _check_offset(message)
    _require(message.offset % m.EVENT_PART_BYTES == 0, "offset", "the beginning of a part")


def _check_ack(message: m.Ack) -> None:
    _check_offset(message)
    if message.answer is not None:
        _require(0 <= message.answer.step < 1 << 31, "answer", "to a step's question")
        _require(len(message.answer.by) <= _MAX_NAME, "answer", f"by at most {_MAX_NAME} characters")
        gpus = message.answer.gpus or ()
        _require(all(0 < len(uuid) <= _MAX_NAME for uuid in gpus), "answer", "with a list of UUIDs")


def _check_reason(message: Any) -> None:
    _check_lease(message)
    _require(len(message.reason) <= _MAX_TEXT, "reason", f"at most {_MAX_TEXT} characters")


def _check_held(held: tuple[m.HeldJob, ...]) -> None:
    for job in held:
        _check_lease(job)
        _require(0 <= job.journal_bytes <= MAX_OFFSET, "journal_bytes", "a journal offset")
        _require(len(job.waiting) <= _MAX_TEXT, "waiting", f"at most {_MAX_TEXT} characters")
    _require(len({(job.job, job.lease) for job in held}) == len(held), "held", "free of doubles")


def _check_hello(message: m.Hello) -> None:
    _require(is_id("agent", message.agent), "agent", "an agent's identifier")
    _require(1 <= len(message.versions) <= 32, "versions", "a short list of versions")
    _require(len(message.software) <= _MAX_NAME, "software", f"at most {_MAX_NAME} characters")


def _check_challenge(message: m.Challenge) -> None:
    _require(16 <= len(message.nonce) <= 64, "nonce", "16 to 64 bytes")
    _require(0 < len(message.server) <= _MAX_NAME, "server", "a server's identifier")


def _check_welcome(message: m.Welcome) -> None:
    seconds = message.heartbeat_seconds
    _require(math.isfinite(seconds) and 0 < seconds <= 3600, "heartbeat_seconds", "between 0 and 3600")
    _require(0 < message.window_bytes <= 1 << 30, "window_bytes", "between 1 and 1 GiB")


def _check_ready(message: m.Ready) -> None:
    _check_held(message.held)
    _check_labels(message)
    _require(1 <= message.max_jobs <= 10_000, "max_jobs", "between 1 and 10000")


def _check_labels(message: m.Ready | m.NewInventory) -> None:
    _require(len(message.labels) <= _MAX_LABELS, "labels", f"at most {_MAX_LABELS}")
    _require(all(0 < len(label) <= _MAX_NAME for label in message.labels), "labels", "a list of short names")


def _check_assign(message: m.Assign) -> None:
    _check_lease(message)
    _require(message.spec.job == message.job, "spec.job", "the job that is assigned")
    _require(all(0 < len(uuid) <= _MAX_NAME for uuid in message.gpus or ()), "gpus", "a list of UUIDs")
    node = message.node
    _require(node is None or 0 <= node.rank < node.count, "node", "a rank below the number of nodes")
    _require(node is None or 0 < node.master_port < 1 << 16, "node", "a port")


def _check_session(message: Any) -> None:
    _require(is_id("attach", message.session), "session", "a session's identifier")


def _check_attach(message: m.Attach) -> None:
    _check_session(message)
    _check_lease(message)
    _require(len(message.user) <= _MAX_NAME, "user", f"at most {_MAX_NAME} characters")
    _require(len(message.address) <= _MAX_NAME, "address", f"at most {_MAX_NAME} characters")
    _require(sum(map(len, message.command)) <= m.ATTACH_COMMAND_CHARACTERS, "command", "short")
    _require(len(message.app) <= _MAX_NAME, "app", f"at most {_MAX_NAME} characters")
    if message.terminal is not None:
        _check_size(message.terminal)
        _require(len(message.terminal.kind) <= _MAX_NAME, "kind", f"at most {_MAX_NAME} characters")


def _check_size(message: Any) -> None:
    _require(0 <= message.rows < 1 << 16, "rows", "a number of rows")
    _require(0 <= message.columns < 1 << 16, "columns", "a number of columns")


def _check_input(message: m.AttachInput) -> None:
    _check_session(message)
    _require(len(message.data) <= m.PORT_FRAME_BYTES, "data", f"at most {m.PORT_FRAME_BYTES} bytes")
    _check_size(message)


def _check_output(message: m.AttachOutput) -> None:
    _check_session(message)
    _require(message.stream in (1, 2), "stream", "1 or 2")
    _require(len(message.data) <= m.PORT_FRAME_BYTES, "data", f"at most {m.PORT_FRAME_BYTES} bytes")


def _check_taken(message: m.AttachTaken) -> None:
    _check_session(message)
    _require(0 < message.frames <= m.ATTACH_WINDOW_FRAMES, "frames", "within the window")


def _check_ended(message: m.AttachEnded) -> None:
    _check_session(message)
    _require(len(message.message) <= _MAX_TEXT, "message", f"at most {_MAX_TEXT} characters")
    _require(message.exit_code is None or 0 <= message.exit_code < 256, "exit_code", "an exit code")


_CHECKS: dict[type, Callable[[Any], None]] = {
    m.Hello: _check_hello,
    m.Challenge: _check_challenge,
    m.Proof: lambda message: _require(len(message.signature) == 64, "signature", "an Ed25519 signature"),
    m.Welcome: _check_welcome,
    m.Ready: _check_ready,
    m.Assign: _check_assign,
    m.Accept: _check_lease,
    m.Refuse: _check_reason,
    m.Ack: _check_ack,
    m.EventWanted: _check_part_offset,
    m.EventPart: _check_part_offset,
    m.Cancel: _check_reason,
    m.Release: _check_lease,
    m.Revoke: _check_reason,
    m.NewInventory: _check_labels,
    m.Heartbeat: lambda message: _check_held(message.held),
    m.JournalChunk: _check_offset,
    m.Attach: _check_attach,
    m.AttachOpened: _check_session,
    m.AttachInput: _check_input,
    m.AttachOutput: _check_output,
    m.AttachTaken: _check_taken,
    m.AttachLeave: _check_session,
    m.AttachEnded: _check_ended,
}
