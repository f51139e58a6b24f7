"""Servers that are not ours: what stands between, or what somebody took for a flow-agent server."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<!doctype html><title>Sign in</title><h1>It works!</h1>"


@contextmanager
def other_server(
    status: int = 200, body: bytes = PAGE, headers: Mapping[str, str] | None = None
) -> Iterator[str]:
    """A web server that answers everything in the same way; its URL."""
    said = {"Content-Type": "text/html", "Content-Length": str(len(body)), **(headers or {})}

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response_only(status)
            for name, value in said.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_HEAD = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_arguments: object) -> None:
            """Nothing is said."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
