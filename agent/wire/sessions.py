"""The attached sessions of one connection, seen from either side, and their flow control. Pure.

In each direction at most `ATTACH_WINDOW_FRAMES` frames of a session are on their way and not taken: whoever reads slowly
holds up this session and nothing else. A session ends on both sides by `attach_leave` or `attach_ended`, whichever comes
first; what was under way for it then is for nobody, and passed over in silence.
"""

from dataclasses import dataclass

from agent.wire.errors import IllegalVerbError
from agent.wire.messages import ATTACH_WINDOW_FRAMES


@dataclass(slots=True)
class _Frames:
    sent: int = 0  # and not taken by the other side
    come: int = 0  # and not taken by ours


class AttachSessions:
    """Which sessions are open, and how many frames of each are not taken."""

    def __init__(self) -> None:
        self._open: dict[str, _Frames] = {}

    def open(self, session: str) -> None:
        """A session begins. Raises IllegalVerbError when it is open already."""
        if session in self._open:
            raise IllegalVerbError(f"the session {session} is open already")
        self._open[session] = _Frames()

    def close(self, session: str) -> None:
        """A session is over."""
        self._open.pop(session, None)

    def is_open(self, session: str) -> bool:
        """Whether its frames may travel on this connection."""
        return session in self._open

    def room(self, session: str) -> int:
        """How many more frames may be sent."""
        frames = self._open.get(session)
        return 0 if frames is None else ATTACH_WINDOW_FRAMES - frames.sent

    def send(self, session: str) -> None:
        """A frame goes out. Raises IllegalVerbError when there is no room for it."""
        if self.room(session) <= 0:
            raise IllegalVerbError(f"no frame of the session {session} may be sent now")
        self._open[session].sent += 1

    def come(self, session: str) -> None:
        """A frame came in. Raises IllegalVerbError when the other side has sent more than it may."""
        frames = self._open[session]
        if frames.come >= ATTACH_WINDOW_FRAMES:
            raise IllegalVerbError(f"more frames of the session {session} came than may be on their way")
        frames.come += 1

    def take(self, session: str, frames: int) -> None:
        """Our side has passed on `frames` more. Raises IllegalVerbError when fewer have come."""
        if frames > self._open[session].come:
            raise IllegalVerbError(f"fewer frames of the session {session} have come than are taken")
        self._open[session].come -= frames

    def taken(self, session: str, frames: int) -> None:
        """The other side has passed on `frames` more. Raises IllegalVerbError when fewer were sent."""
        if frames > self._open[session].sent:
            raise IllegalVerbError(f"fewer frames of the session {session} were sent than are taken")
        self._open[session].sent -= frames
