"""Reports of a flow while it runs, and at its end: dead letters, records, figures. To its server, or to files of a local run.

Dead letters are safe before what they came of is told as settled: on the disk of a local run; on the server of any other, which is
why `is_safe` may be False for a moment.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agent.errors import AgentError, UnreachableError
from agent.job.stages.asking import StageServer
from agent.job.stages.delivery.batches import DeadLetter
from agent.job.stages.delivery.settling import Origin
from agent.job.stages.json_lines import dump
from agent.job.stages.kept.letters import LetterFile, Mask
from agent.job.stages.kept.records import Segments, Wall, describe_dead, describe_settled

_TICK_SECONDS = 1.0
_LAST_SECONDS = 60.0  # that the server may take at the end
_MOST_POST_BYTES = 1 << 20
_MOST_WAITING = 1000  # records that wait to be sent; older ones are not sent then

Figures = Callable[[], Mapping[str, object]]


class Reporter:
    """Reports for one flow. `figures` gives those of now; `on_safe` is called when dead letters have become safe."""

    def __init__(
        self,
        *,
        server: StageServer | None,
        letters: LetterFile,
        folder: Path,
        mask: Mask,
        wall: Wall,
        say: Callable[[str], None],
    ) -> None:
        self._server = server
        self._letters = letters
        self._records = Segments(folder / "records")
        self._failed = Segments(folder / "failed")
        self._mask = mask
        self._wall = wall
        self._say = say
        self._dead: list[bytes] = []  # lines for the server
        self._settled: list[bytes] = []
        self._told: Mapping[str, object] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_away = False
        self.figures: Figures = dict
        self.on_safe: Callable[[], None] = lambda: None

    @property
    def is_safe(self) -> bool:
        """Whether all dead letters are where they stay."""
        return not self._dead

    def start(self) -> None:
        """Report from now on, once a second at most."""
        self._task = asyncio.ensure_future(self._report_often())

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep dead letters. Raises AgentError when the disk does not take them."""
        first = self._letters.count
        self._letters.add(letters)
        lines = [
            dump(describe_dead(letter, first + number, self._wall, self._mask)) + b"\n"
            for number, letter in enumerate(letters, 1)
        ]
        self._failed.add(b"".join(lines))
        if self._server is not None:
            self._dead += lines
            self._news.set()

    def note_ended(self, origins: Sequence[Origin], now: float) -> None:
        """Keep watched records that have ended."""
        lines = [dump(describe_settled(origin, now, self._wall, self._mask)) + b"\n" for origin in origins]
        self._records.add(b"".join(lines))
        if self._server is not None:
            self._settled += lines
            del self._settled[:-_MOST_WAITING]

    async def close(self) -> None:
        """The last report. What could not be sent is said."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                while not await self._report():  # noqa: ASYNC110 - a server that is away does not say when it is back
                    await asyncio.sleep(_TICK_SECONDS)
        if self._dead:
            self._say(f"{len(self._dead):,} dead letters could not be sent: what they came of comes again")
        if self._server is not None:
            await self._server.close()

    async def _report_often(self) -> None:
        while True:
            await self._report()
            if not self._dead or self._is_away:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), _TICK_SECONDS)
            self._news.clear()

    async def _report(self) -> bool:
        """Tell all that is new; False when the server is away."""
        try:
            await self._send_dead()
            await self._send_settled()
            await self._tell_figures()
        except UnreachableError as error:
            if not self._is_away:
                self._say(f"the server is away, and is told later: {error}")
            self._is_away = True
            return False
        except AgentError as error:
            self._say(f"the server does not take what became of records, and never will: {error}")
            self._dead.clear()
            self.on_safe()
        self._is_away = False
        return True

    async def _send_dead(self) -> None:
        while self._dead and self._server is not None:
            count = _count_fitting(self._dead)
            await self._server.post("records", b"".join(self._dead[:count]), {"is_dead": "true"})
            del self._dead[:count]
            if not self._dead:
                self.on_safe()

    async def _send_settled(self) -> None:
        """These are samples: what does not arrive is not sent again."""
        while self._settled and self._server is not None:
            count = _count_fitting(self._settled)
            data = b"".join(self._settled[:count])
            del self._settled[:count]
            await self._server.post("records", data)

    async def _tell_figures(self) -> None:
        if self._server is None:
            return
        figures = self.figures()
        if figures.get("stages") != self._told.get("stages"):
            await self._server.post("figures", figures)
            self._told = figures


def _count_fitting(lines: Sequence[bytes]) -> int:
    """How many lines go into one request; one at least."""
    size_bytes = 0
    for count, line in enumerate(lines):
        size_bytes += len(line)
        if count and size_bytes > _MOST_POST_BYTES:
            return count
    return len(lines)
