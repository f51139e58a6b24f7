"""A host on the loopback interface whose answers do not come to an end: in size, in time, or in what they unpack to."""

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PIECE = b"x" * (1 << 20)


class _Handler(BaseHTTPRequestHandler):
    """`/large` sends bytes for ever, `/slow` one from time to time, `/packed` few that unpack to many, `/line` one line."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if size := int(self.headers.get("Content-Length", 0)):
            self.rfile.read(size)
        kind = self.path.strip("/").partition("/")[0]
        self.send_response(200)
        if kind == "packed":
            body = gzip.compress(_PIECE * 64)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.close_connection = True
        while not self.server.is_over.is_set():  # type: ignore[attr-defined]
            try:
                self.wfile.write(b"x" if kind == "slow" else _PIECE)
            except OSError:
                return
            if kind == "slow":
                time.sleep(0.05)

    do_POST = do_GET  # noqa: N815 - the base class calls it so

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def serve_endlessly() -> Iterator[str]:
    """The URL of such a host."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.is_over = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.is_over.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
        thread.join()
