"""Kill, cut off and cramp for as long as you like, and see that nothing is lost or doubled.

    make soak KILLS=100 STORE=sqlite                by hand; STORE=postgresql is the other store
    make soak KILLS=10 STORE=sqlite SEED=4711       the schedule of a seed that failed, again

It runs schedule after schedule, of ten kills each, every one in a world of its own; the seed of the first is drawn, those
that follow count on. A schedule that fails leaves its folder, with all logs, and names its seed.
"""

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from faults.checks import Findings, check_world
from faults.jobs import KnownJob, describe
from faults.schedule import KILLS, draw_faults
from faults.world import AGENTS, JOBS_AT_A_TIME, World, make_world
from support.postgres import Cluster, run_cluster
from support.small_disk import why_no_small_disks

KILLS_OF_A_SCHEDULE = 10
_JOBS_OF_A_RUN = 5

Tell = Callable[[str], None]


@dataclass
class Schedule:
    """What a seed came to: its faults, and what was found at its end."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)

    @property
    def kills(self) -> int:
        """How many of the faults were kills."""
        return sum(self.faults[kind] for kind in KILLS)


def run_schedule(
    folder: Path, seed: int, kills: int, cluster: Cluster | None, tell: Tell = lambda _: None
) -> Schedule:
    """Let the schedule of `seed` happen while jobs run, and judge what is left. Raises AssertionError, with the seed."""
    schedule = Schedule(seed)
    try:
        tell("starting a server and its agents")
        with make_world(folder, cluster) as world:
            load = _Load(world, random.Random(f"{seed} jobs"))
            # Numbers of its own: how many jobs are drawn depends on the machine's pace, what goes wrong does not.
            for fault in draw_faults(random.Random(f"{seed} faults"), AGENTS, world.without):
                load.keep_up()
                tell(f"fault {sum(schedule.faults.values()) + 1}: {fault}")
                schedule.faults[fault.kind] += world.suffer(fault)
                if schedule.kills == kills:
                    break
            tell(f"waiting for the end of {len(load.runs)} runs, and looking at what is left")
            schedule.findings = check_world(world, load.runs)
        wrong = schedule.findings.wrong
        assert not wrong, "\n".join(wrong)
    except AssertionError as error:
        store = "sqlite" if cluster is None else "postgresql"
        again = f"make soak KILLS={kills} STORE={store} SEED={seed}"
        error.add_note(f"seed {seed}: to see it again, `{again}`; logs in {folder}")
        raise
    return schedule


class _Load:
    """Runs enough that all agents have something to do."""

    def __init__(self, world: World, drawn: random.Random) -> None:
        self._world = world
        self._drawn = drawn
        self.runs: list[tuple[int, tuple[KnownJob, ...]]] = []

    def keep_up(self) -> None:
        """Submit another run when the last one has fewer jobs left than there is room for."""
        if self.runs:
            jobs = self._world.ask("GET", f"/runs/{self.runs[-1][0]}").json()["jobs"]
            waiting = sum(job["status"] in ("queued", "pending", "blocked") for job in jobs)
            if waiting > len(AGENTS) * JOBS_AT_A_TIME // 2:
                return
        number = len(self.runs) + 1
        known = tuple(self._draw_job(f"r{number}j{place}") for place in range(_JOBS_OF_A_RUN))
        key = {"Idempotency-Key": f"run-{number}"}  # asked for again until there is an answer
        body = {"flow": {"file": "flow.yml", "text": describe(known, self._world.begun)}}
        answer = self._world.ask("POST", "/runs", json=body, headers=key)
        assert answer.status_code == 201, answer.text
        self.runs.append((answer.json()["run"], known))

    def _draw_job(self, mark: str) -> KnownJob:
        lines = self._drawn.choice((40, 400, 1200, 6000))
        return KnownJob(mark, lines, burst=self._drawn.choice((lines // 20, lines // 8)))


def main() -> int:
    """Schedules until there have been enough kills; 1 when one of them has failed."""
    options = _read_options()
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    skipped = why_no_small_disks()
    print(
        f"{options.kills} kills on {options.store}, from seed {seed}; {skipped or 'full disks among the faults'}"
    )
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(run_cluster()) if options.store == "postgresql" else None
        return _soak(options.kills, seed, cluster)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    return parser.parse_args()


def _soak(kills: int, seed: int, cluster: Cluster | None) -> int:
    start, done, faults, failed = time.monotonic(), Counter[str](), Counter[str](), []
    while done["kills"] < kills:
        count = min(KILLS_OF_A_SCHEDULE, kills - done["kills"])
        folder = Path(tempfile.mkdtemp(prefix=f"soak-{seed}-"))
        with own_home(folder):
            try:
                schedule = run_schedule(folder / "world", seed, count, cluster, _teller(start, done, seed))
            except AssertionError as error:
                failed.append(seed)
                print(f"\nFAILED: {error}", *error.__notes__, sep="\n")
            else:
                found = schedule.findings
                print(*(f"\nfailed by a full disk: {excuse}" for excuse in found.excused), sep="")
                done += Counter(jobs=found.jobs, lost=found.lost, cramped=found.cramped)
                done += Counter(log_bytes=found.log_bytes, artifact_bytes=found.artifact_bytes)
                faults += schedule.faults
                shutil.rmtree(folder)
        done["kills"] += count
        seed += 1
    print(
        f"\n{time.monotonic() - start:.0f} s: {dict(done)}\n{dict(faults)}\nfailed seeds: {failed or 'none'}"
    )
    return 1 if failed else 0


@contextlib.contextmanager
def own_home(folder: Path) -> Iterator[None]:
    """Nothing of the caller's settings, as in the tests."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(("AGENT_", "XDG_", "GITHUB_", "RUNNER_", "ACTIONS_")):
            del os.environ[name]
    os.environ["HOME"] = str(folder)
    (folder / "world").mkdir()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _teller(start: float, done: Counter[str], seed: int) -> Tell:
    def tell(text: str) -> None:
        head = f"{time.monotonic() - start:5.0f} s, {done['kills']} kills, seed {seed}: "
        end = "\x1b[K\r" if sys.stdout.isatty() else "\n"
        print(head + text, end=end, flush=True)

    return tell


if __name__ == "__main__":
    sys.exit(main())
