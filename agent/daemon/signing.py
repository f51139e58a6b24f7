"""Signs challenges in a process of its own that lives for one signature.

The daemon runs for months; the keys lie in its memory never, and the cryptography library's 9 MB neither. Run as
`python -m agent.daemon.signing IDENTITY_FOLDER`: the message on standard input, the signature on standard output.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from agent.daemon.state import Registration
from agent.errors import AgentError
from agent.wire import messages as m
from agent.wire.agent_side import Sign
from agent.wire.errors import WireError

_SIGN_SECONDS = 60.0
_SIGNATURE_BYTES = 64


def make_signer(registration: Registration, sign: Callable[[bytes], bytes]) -> Sign:
    """What answers a challenge. It refuses one that is not of the server that this agent is registered with."""

    def answer(challenge: m.Challenge) -> bytes:
        from agent.seal.identity import challenge_message

        if challenge.server != registration.server:
            raise WireError("bad_message", "this is not the server that this agent is registered with")
        return sign(
            challenge_message(
                server=challenge.server,
                agent_id=registration.agent,
                nonce=challenge.nonce,
                version=challenge.version,
            )
        )

    return answer


def sign_apart(identity: Path, message: bytes) -> bytes:
    """The signature over `message` with the keys in the folder `identity`, made in a process of its own.

    Raises AgentError with what that process said, such as that the keys are readable to others; TimeoutError on a
    machine that is too busy.
    """
    command = [sys.executable, "-P", "-X", "utf8", "-m", "agent.daemon.signing", str(identity)]
    try:
        done = subprocess.run(command, input=message, capture_output=True, timeout=_SIGN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise TimeoutError("the challenge could not be signed in time") from None
    if done.returncode != 0 or len(done.stdout) != _SIGNATURE_BYTES:
        raise AgentError(done.stderr.decode(errors="replace").strip() or "the challenge could not be signed")
    return done.stdout


def main() -> int:
    """Sign standard input with the identity that the first argument names."""
    from agent.seal.identity import load_identity

    try:
        identity = load_identity(Path(sys.argv[1]))
    except AgentError as error:
        sys.stderr.write(str(error))
        return 1
    sys.stdout.buffer.write(identity.sign(sys.stdin.buffer.read()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
