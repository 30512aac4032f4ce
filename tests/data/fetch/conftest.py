"""A server on the loopback address that cuts, stalls, lies and refuses as it is told."""

import random
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

PIECE = 4096


class Handler(BaseHTTPRequestHandler):
    """Answers each request by `server.behaviour(handler)`; the helpers below are what it is made of."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        self.server.requests.append(self.headers.get("Range", ""))
        self.close_connection = True
        self.server.behaviour(self)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""

    @property
    def content(self) -> bytes:
        return self.server.files[self.path.rsplit("/", 1)[1]]

    @property
    def start(self) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found[1]) if found else 0

    def head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def honest(self, *, until: int | None = None, ranges: bool = True) -> None:
        """The content from where it is asked for; `until` cuts it short of what the header says."""
        start = self.start if ranges else 0
        size = len(self.content)
        if start >= size:
            self.head(416, 0, Content_Range=f"bytes */{size}")
            return
        ranged = {"Content_Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
        self.head(206 if start else 200, size - start, **ranged)
        self.send(self.content[start:until])

    def send(self, data: bytes) -> None:
        for place in range(0, len(data), PIECE):
            self.wfile.write(data[place : place + PIECE])
        self.wfile.flush()

    def stall(self) -> None:
        """Says nothing more until the test ends."""
        self.server.over.wait(30)


class Server(ThreadingHTTPServer):
    """Serves `files` by name; `requests` lists the ranges that were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.behaviour: Callable[[Handler], None] = Handler.honest
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is part of the tests."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    made.files["data.zip"] = random.Random(0).randbytes(200_000)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.over.set()
    made.shutdown()
    thread.join()
    made.server_close()
