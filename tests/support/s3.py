"""An S3 of one's own: moto's server as a process on the loopback interface, with one bucket a caller."""

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import httpx

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests", "AWS_REGION": "us-east-1"}


@dataclass(frozen=True)
class S3:
    """A running server."""

    endpoint: str

    def blobs_url(self, more: str = "") -> str:
        """A `--blobs-url` with a bucket that nobody has used."""
        bucket = f"b-{uuid4().hex}"
        httpx.put(f"{self.endpoint}/{bucket}").raise_for_status()
        return f"s3://{bucket}/some/prefix?endpoint={self.endpoint}{more}"


@contextlib.contextmanager
def serve_s3() -> Iterator[S3]:
    """A server for as long as the context lasts; whoever talks to it has the `CREDENTIALS` in the environment."""
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **CREDENTIALS},
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            raise AssertionError("moto's server did not start")
        with _drained(process):
            yield S3(found[0])
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@contextlib.contextmanager
def _drained(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Its log is read, so that it never waits for a full pipe."""
    assert process.stderr is not None
    thread = threading.Thread(target=lambda: [None for _ in process.stderr or ()], daemon=True)
    thread.start()
    try:
        yield
    finally:
        process.kill()
        thread.join()
