"""Ending a program that was started by `execute`: it does not die with whoever asked for it.

It and its offspring are known by a variable in their environment, by their parents and by their session, as on the machine
itself; the search is a script for the container's own `sh`, made of nothing but what every shell has built in.
"""

import asyncio
import contextlib
import signal
from collections.abc import Sequence

from agent.containers.engine import Engine
from agent.errors import AgentError

_POLL_SECONDS = (0.05, 0.5)  # the first pause between two looks, and the longest
_KILL_SECONDS = 10.0

# Arguments: the signal, then the variable. Prints the process ids that it has sent the signal to.
_SCRIPT = r"""
found=' '
again=yes
while [ -n "$again" ]; do
  again=
  for folder in /proc/[0-9]*; do
    pid=${folder#/proc/}
    [ "$pid" = "$$" ] && continue
    case "$found" in *" $pid "*) continue ;; esac
    line=
    { IFS= read -r line < "$folder/stat"; } 2>/dev/null
    [ -n "$line" ] || continue
    rest=${line##*") "}
    state=${rest%% *}; rest=${rest#* }
    parent=${rest%% *}; rest=${rest#* }
    rest=${rest#* }
    session=${rest%% *}
    case "$state" in Z|X) continue ;; esac
    mine=
    case "$found" in *" $parent "*|*" $session "*) mine=yes ;; esac
    if [ -z "$mine" ]; then
      {
        while IFS= read -r line || [ -n "$line" ]; do
          case "$line" in *"$2"*) mine=yes ;; esac
        done < "$folder/environ"
      } 2>/dev/null
    fi
    [ -n "$mine" ] || continue
    found="$found$pid "
    again=yes
  done
done
for pid in $found; do
  kill -"$1" "$pid" 2>/dev/null
  echo "$pid"
done
exit 0
"""


async def stop_program(
    engine: Engine, container: str, mark: str, gentle: Sequence[tuple[signal.Signals, float]]
) -> None:
    """The `gentle` signals, each with its grace in seconds, then SIGKILL, to all that carry `mark` (NAME=VALUE), and their offspring.

    Where the container has no shell to do this with, it is ended itself.
    """
    steps = (*gentle, (signal.SIGKILL, _KILL_SECONDS))
    with contextlib.suppress(AgentError):  # the container is gone, and all in it
        for number, seconds in steps:
            living = await _signal(engine, container, mark, number.value)
            if living is None:
                await engine.signal(container, signal.SIGKILL)
                return
            if not living or await _are_gone(engine, container, mark, seconds):
                return


async def _are_gone(engine: Engine, container: str, mark: str, seconds: float) -> bool:
    pause, longest = _POLL_SECONDS
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while await _signal(engine, container, mark, 0):
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)
            return True
    return False


async def _signal(engine: Engine, container: str, mark: str, number: int) -> list[str] | None:
    """The processes that were sent the signal; None when the container has no shell."""
    said: list[bytes] = []
    code = await engine.execute(
        container, ["sh", "-c", _SCRIPT, "sh", str(number), mark], env={}, cwd="/", sink=said.append
    )
    return b"".join(said).decode("utf-8", "replace").split() if code == 0 else None
