"""The jobs that run while things go wrong: each says, makes and returns what is known beforehand, from its mark alone."""

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PAD = 61
_ARTIFACT_LINES = 4000


@dataclass(frozen=True)
class KnownJob:
    """A job by its `mark`, which no other has; prints `lines` lines, `burst` of them at a time."""

    mark: str
    lines: int
    burst: int

    def output(self) -> list[str]:
        """The lines that it prints."""
        return [f"{self.mark} line {n} {'x' * (n % _PAD)}" for n in range(1, self.lines + 1)]

    def outputs(self) -> dict[str, str]:
        """What it sets."""
        return {"last": str(self.lines), "mark": self.mark}

    def summary(self) -> str:
        """What it writes to its step summary."""
        return f"summary of {self.mark}"

    def artifact(self) -> bytes:
        """The file in its artifact."""
        digests = (hashlib.sha256(f"{self.mark} {n}".encode()).hexdigest() for n in range(_ARTIFACT_LINES))
        return "".join(f"{digest}\n" for digest in digests).encode()


def describe(jobs: Sequence[KnownJob], begun: Path) -> str:
    """A flow with these jobs, each of which notes in the file `begun` that it begins, and one that waits for all of them."""
    cells = json.dumps([{"mark": job.mark, "lines": job.lines, "burst": job.burst} for job in jobs])
    return _FLOW.replace("CELLS", cells).replace("BEGUN", str(begun))


def read_artifact(archive: bytes) -> bytes:
    """The one file in an artifact. Raises zipfile.BadZipFile when it is not whole."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        (name,) = opened.namelist()
        return opened.read(name)


_FLOW = f"""\
on: workflow_dispatch
jobs:
  known:
    name: ${{{{ matrix.mark }}}}
    runs-on: self-hosted
    strategy:
      fail-fast: false
      matrix:
        include: CELLS
    outputs:
      last: ${{{{ steps.second.outputs.last }}}}
      mark: ${{{{ steps.first.outputs.mark }}}}
    env:
      MARK: ${{{{ matrix.mark }}}}
      LINES: ${{{{ matrix.lines }}}}
      BURST: ${{{{ matrix.burst }}}}
      SAY: |
        import os, sys, time
        mark, burst = os.environ["MARK"], int(os.environ["BURST"])
        for n in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
            print(mark, "line", n, "x" * (n % {_PAD}))
            if n % burst == 0:
                sys.stdout.flush()
                time.sleep(0.05)
    steps:
      - id: first
        run: |
          echo "$MARK" >> BEGUN
          python3 -c "$SAY" 1 $((LINES / 2))
          echo "mark=$MARK" >> "$GITHUB_OUTPUT"
          echo "summary of $MARK" >> "$GITHUB_STEP_SUMMARY"
      - run: |
          import hashlib, os
          mark = os.environ["MARK"]
          with open("made.txt", "w") as out:
              for n in range({_ARTIFACT_LINES}):
                  print(hashlib.sha256(f"{{mark}} {{n}}".encode()).hexdigest(), file=out)
        shell: python3 {{0}}
      - uses: flow-agent/upload-artifact@v1
        with:
          name: ${{{{ matrix.mark }}}}
          path: made.txt
      - id: second
        run: |
          python3 -c "$SAY" $((LINES / 2 + 1)) $LINES
          echo "last=$LINES" >> "$GITHUB_OUTPUT"
  after:
    needs: known
    if: always()
    runs-on: self-hosted
    steps:
      - run: echo "after all"
"""
