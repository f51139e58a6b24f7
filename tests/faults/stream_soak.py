"""Kill supervisors, agents and servers while records stream, and see that none is lost and which come twice.

    make soak-streams KILLS=200                     by hand; STORE=postgresql is the other store
    make soak-streams KILLS=25 SEED=4711            the schedule of a seed that failed, again

Schedules have 25 kills, each in a world of its own. What a killed supervisor had taken and not settled may come twice, and nothing else may.
"""

import argparse
import bisect
import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Self

from faults.soak import Tell, own_home
from faults.stream_load import Ledger
from faults.stream_world import HOOKS, StreamRecord, StreamWorld, draw_kills, make_stream_world
from support.postgres import Cluster, run_cluster

KILLS_OF_A_SCHEDULE = 25
_LATE_SECONDS = (
    0.2  # in which what a killed supervisor had sent still arrives, and the next one has not begun
)


@dataclass
class Findings:
    """What was counted, and what is wrong."""

    kills: Counter[str] = field(default_factory=Counter)
    records: int = 0
    doubles: int = 0
    ages: dict[str, list[float]] = field(
        default_factory=dict
    )  # of doubles, by flow: how long before the kill they had arrived
    wrong: list[str] = field(default_factory=list)

    def __iadd__(self, other: Self) -> Self:
        self.kills += other.kills
        self.records += other.records
        self.doubles += other.doubles
        for name, ages in other.ages.items():
            self.ages.setdefault(name, []).extend(ages)
        return self

    def __str__(self) -> str:
        windows = ", ".join(
            f"{name}: half within {ages[len(ages) // 2]:.2f} s, 99 % within {ages[len(ages) * 99 // 100]:.2f} s, all within {ages[-1]:.2f} s"
            for name, ages in ((name, sorted(ages)) for name, ages in self.ages.items())
        )
        return (
            f"{self.records} records, {self.doubles} of them twice; before its kill such a one had arrived"
            f" ({windows or 'none'}); {dict(self.kills)}"
        )


def run_schedule(
    folder: Path, seed: int, kills: int, cluster: Cluster | None = None, tell: Tell = lambda _: None
) -> Findings:
    """Let the schedule of `seed` happen under load, and judge what came of it. Raises AssertionError, with the seed."""
    found = Findings()
    try:
        tell("starting a server, an agent and two flows")
        with make_stream_world(folder, cluster) as world:
            with world.under_load():
                for kill in draw_kills(random.Random(seed)):
                    tell(f"kill {found.kills.total() + 1}: {kill}")
                    found.kills[" and ".join(kill.parts)] += world.suffer(kill)
                    if found.kills.total() == kills:
                        break
                tell("waiting until what was drawn is accepted")
            tell("waiting until all has arrived, and looking at what came")
            world.wait_until_drained()
            for name, ledger in world.ledgers.items():
                _judge(name, ledger, world.record, found)
            _check_end(world, found)
        assert not found.wrong, "\n".join(found.wrong)
    except AssertionError as error:
        store = "sqlite" if cluster is None else "postgresql"
        again = f"make soak-streams KILLS={kills} STORE={store} SEED={seed}"
        error.add_note(f"seed {seed}: to see it again, `{again}`; logs in {folder}")
        raise
    return found


def _judge(name: str, ledger: Ledger, record: StreamRecord, found: Findings) -> None:
    """All that was accepted has arrived, and each time more than once has its kill: one whose supervisor had it, unsettled."""
    found.records += len(ledger.accepted)
    if ledger.missing:
        found.wrong.append(f"{name}: {len(ledger.missing)} records are lost: {sorted(ledger.missing)[:5]}")
    if ledger.refused:
        found.wrong.append(f"{name}: senders were refused: {dict(ledger.refused)}")
    deaths = [died for died in record.died if died.flow == name]
    ups = sorted(ledger.accepted.values())
    for one, times in ledger.arrived.items():
        may = [died for died in deaths if one in died.unsettled]
        if len(times) - 1 > len(may):
            found.wrong.append(f"{name}: {one} arrived {len(times)} times, and {len(may)} kills explain that")
        for before, died in pairwise([None, *deaths]):
            assert died is not None
            since = before.at + _LATE_SECONDS if before else 0.0
            mine = [at for at in times if since < at < died.at]  # in the life of that supervisor
            if mine and one in died.unsettled and times[-1] > died.at:
                found.doubles += 1
                away = _away(record.down, ups, mine[0], died.at) if name == HOOKS else 0.0
                found.ages.setdefault(name, []).append(died.at - mine[0] - away)


def _away(down: Sequence[float], ups: Sequence[float], since: float, until: float) -> float:
    """How long, of that time, no server could be told what is settled: from each kill of one until a sender is answered again."""
    seconds = 0.0
    reached = since
    for begin in down:
        place = bisect.bisect(ups, begin)
        end = min(until, ups[place] if place < len(ups) else until)
        begin = max(begin, reached)
        if end > begin:
            seconds += end - begin
            reached = end
    return seconds


def _check_end(world: StreamWorld, found: Findings) -> None:
    """Flows drain and everything ends at a word, and nobody has said a traceback."""
    arrivals = {name: ledger.work for name, ledger in world.ledgers.items()}
    world.undeploy_all()
    for name in world.processes:
        code = world.stop(name)
        if code:
            found.wrong.append(f"{name} ended with {code} at SIGTERM: {world.log_of(name)[-600:]}")
        text = world.log_of(name)
        if "Traceback" in text:
            found.wrong.append(f"{name} says a traceback: {text[text.find('Traceback') :][:9000]}")
    if arrivals != {name: ledger.work for name, ledger in world.ledgers.items()}:
        found.wrong.append("records arrived after all had settled")


def main() -> int:
    """Schedules until there have been enough kills; 1 when one of them has failed."""
    options = _read_options()
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    print(f"{options.kills} kills on {options.store}, from seed {seed}")
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(run_cluster()) if options.store == "postgresql" else None
        return _soak(options.kills, seed, cluster)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak-streams", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    return parser.parse_args()


def _soak(kills: int, seed: int, cluster: Cluster | None) -> int:
    began, total, failed, done = time.monotonic(), Findings(), [], 0

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s, seed {seed}: {text}", flush=True)

    while done < kills:
        count = min(KILLS_OF_A_SCHEDULE, kills - done)
        folder = Path(tempfile.mkdtemp(prefix=f"soak-streams-{seed}-"))
        with own_home(folder):
            try:
                found = run_schedule(folder / "world", seed, count, cluster, tell)
            except AssertionError as error:
                failed.append(seed)
                print(f"\nFAILED: {error}", *error.__notes__, sep="\n")
            else:
                total += found
                tell(str(found))
                shutil.rmtree(folder)
        done += count
        seed += 1
    print(f"\n{time.monotonic() - began:.0f} s: {total}\nfailed seeds: {failed or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
