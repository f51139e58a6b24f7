"""An app for tests: `echo_app.py PORT` answers GET with the head of the request as JSON and POST with its body.

`/page` is a page that says what it can see, `/stream` never ends by itself, `/away` leads elsewhere.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = """<!doctype html><title>echo</title><pre id="cookies"></pre><script>
document.getElementById("cookies").textContent = "seen:" + document.cookie;
</script>"""


class Echo(BaseHTTPRequestHandler):
    """Says what came."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/stream"):
            self._stream()
        elif self.path.startswith("/away"):
            self._answer(
                b"", {"Location": f"http://{self.headers['Host']}/there", "Content-Type": "text/plain"}, 302
            )
        elif self.path.startswith("/page"):
            self._answer(PAGE.encode(), {"Content-Type": "text/html"})
        elif self.path.startswith("/cookie"):
            self._answer(b"set", {"Set-Cookie": "own=1; Domain=localhost; Path=/"})
        else:
            said = {"path": self.path, "headers": [*self.headers.items()]}
            self._answer(json.dumps(said).encode(), {"Content-Type": "application/json"})

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._read_chunk, b""))
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(body, {"Content-Type": "application/octet-stream"})

    def _read_chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _stream(self) -> None:
        """A line each tenth of a second, until whoever reads has gone."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        number = 0
        try:
            while True:
                self.wfile.write(f"data: {number}\n\n".encode())
                self.wfile.flush()
                number += 1
                time.sleep(0.1)
        except OSError:
            self.close_connection = True
            sys.stdout.write("the reader has gone\n")
            sys.stdout.flush()

    def _answer(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quietly."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Echo).serve_forever()
