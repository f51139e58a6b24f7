"""Reservations: GPUs that are kept for a person, until when and why. No job is given one; what runs on it goes on to its end.

They lie in STATE/reservations.json, so that they hold over a restart of the daemon, and end by themselves. Whoever may write there or
ask the daemon (`agent.daemon.local`: the agent's user, and root) may keep GPUs; the name is theirs to say.
"""

import logging
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent import codec
from agent.daemon.state import StateFolder
from agent.errors import DamagedError, NotFoundError, SpoiledError, UsageError
from agent.machine.share import find_uuids, list_shown
from agent.plain_files import read_plain
from agent.seal.files import write_private_file
from agent.spec.resources import Gpu

_MOST_BYTES = 1 << 20
_LONGEST_TEXT = 200
_MOST_SECONDS = 366 * 86400.0

log = logging.getLogger("agent.daemon")


@dataclass(frozen=True, slots=True)
class GpuReservation:
    """One GPU (or MIG instance) that `holder` has until `until` (seconds since the epoch)."""

    gpu: str  # its UUID
    holder: str
    until: float
    why: str = ""

    def describe(self, now: float) -> str:
        """`reserved by ada until 18:00 CET: a demo`, with the day where that is not today."""
        at, today = time.localtime(self.until), time.localtime(now)
        form = "%H:%M %Z" if at[:3] == today[:3] else "%Y-%m-%d %H:%M %Z"
        return (
            f"reserved by {self.holder} until {time.strftime(form, at)}{f': {self.why}' if self.why else ''}"
        )


@dataclass(frozen=True, slots=True)
class _Book:
    reservations: tuple[GpuReservation, ...] = ()


class Reservations:
    """The reservations in a state folder. Each question reads the file: who asks may not be the daemon."""

    def __init__(self, state: StateFolder) -> None:
        self._file = state.reservations
        self._complaint = ""

    def list_now(self, now: float) -> tuple[GpuReservation, ...]:
        """Those that have not ended. A file that can't be read is told of in the log, once, and holds none."""
        try:
            text = read_plain(self._file, _MOST_BYTES).decode("utf-8", "replace")
            book = codec.parse(_Book, text, where=str(self._file))
        except FileNotFoundError:
            book = _Book()
        except (OSError, DamagedError, SpoiledError) as error:
            if self._complaint != str(error):
                log.warning("no GPU is kept for anybody: the reservations can't be read: %s", error)
            self._complaint = str(error)
            book = _Book()
        return tuple(one for one in book.reservations if one.until > now)

    def explain(self, now: float) -> Mapping[str, str]:
        """Why which GPU, or GPU with all of its instances, is not given to jobs."""
        return {one.gpu: one.describe(now) for one in self.list_now(now)}

    def keep(
        self, gpus: Sequence[Gpu], word: str, holder: str, seconds: float, *, why: str, now: float
    ) -> tuple[GpuReservation, ...]:
        """Keep what `word` names among `gpus` for `holder`, from now on; one that is kept already is theirs now.

        Raises NotFoundError, UsageError, OSError.
        """
        if not 0 < seconds <= _MOST_SECONDS:
            raise UsageError("a GPU is kept for a year at most", hint="write 30m, 2h or 7d")
        made = tuple(
            GpuReservation(uuid, _shown(holder), now + seconds, _shown(why))
            for uuid in sorted(_find(gpus, word))
        )
        self._write([*self._without({one.gpu for one in made}, now), *made])
        return made

    def free(self, gpus: Sequence[Gpu], word: str, now: float) -> tuple[GpuReservation, ...]:
        """End the reservations of what `word` names. Raises NotFoundError when there is none, OSError."""
        there = self.list_now(now)
        named = {one.gpu for one in there if one.gpu == word} or _find(gpus, word)
        ended = tuple(one for one in there if one.gpu in named)
        if not ended:
            raise NotFoundError(
                f"GPU '{word}' is not reserved", hint="`agent reserve --list` shows which are"
            )
        self._write(self._without(named, now))
        return ended

    def _without(self, gpus: Collection[str], now: float) -> list[GpuReservation]:
        return [one for one in self.list_now(now) if one.gpu not in gpus]

    def _write(self, reservations: Sequence[GpuReservation]) -> None:
        write_private_file(self._file, codec.dump(_Book(tuple(reservations))).encode())
        if os.geteuid() == 0:  # root may have asked while no agent runs, whose user is to read it
            owner = self._file.parent.stat()
            os.chown(self._file, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _shown(text: str) -> str:
    """For one line of a terminal, whoever wrote it."""
    return "".join(filter(str.isprintable, " ".join(text.split())))[:_LONGEST_TEXT]


def obey(
    reservations: Reservations, request: Mapping[str, Any], gpus: Sequence[Gpu], now: float
) -> tuple[GpuReservation, ...]:
    """Carry out a request of `agent.daemon.local`: those that were made, ended, or are there. Raises AgentError, OSError."""
    match request["verb"]:
        case "reserve":
            wish = str(request["gpu"]), str(request["holder"]), float(request["seconds"])
            return reservations.keep(gpus, *wish, why=str(request["why"]), now=now)
        case "free":
            return reservations.free(gpus, str(request["gpu"]), now)
        case _:
            return reservations.list_now(now)


def _find(gpus: Sequence[Gpu], word: str) -> set[str]:
    found = find_uuids(gpus, word.strip())
    if not found:
        raise NotFoundError(f"the agent has no GPU '{word}'", hint=f"it has {list_shown(gpus)}")
    return found
