"""A host on the loopback interface whose answers do not come to an end: in size, in time, or in what they unpack to."""

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PIECE = b"x" * (1 << 20)


@cache
def _pack() -> bytes:
    return gzip.compress(_PIECE * 64)


class _Handler(BaseHTTPRequestHandler):
    """`/large` sends bytes for ever, `/slow` one from time to time, `/packed` few that unpack to many, `/line` one line, `/head` a head."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if size := int(self.headers.get("Content-Length", 0)):
            self.rfile.read(size)
        kind = self.path.strip("/").partition("/")[0]
        if kind == "head":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            return self._send_for_ever(b"x", 0.05)
        self.send_response(200)
        if kind == "packed":
            body = _pack()
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return None
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        return self._send_for_ever(b"x", 0.05) if kind == "slow" else self._send_for_ever(_PIECE, 0)

    def _send_for_ever(self, piece: bytes, pause_seconds: float) -> None:
        self.close_connection = True
        while not self.server.is_over.is_set():  # type: ignore[attr-defined]
            try:
                self.wfile.write(piece)
            except OSError:
                return
            time.sleep(pause_seconds)

    do_POST = do_GET  # noqa: N815 - the base class calls it so

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def serve_endlessly() -> Iterator[str]:
    """The URL of such a host."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    _pack()
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
