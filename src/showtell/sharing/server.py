"""`predict.py RUN --serve`: a page that captions what is dropped on it, and the same for programs.

    curl --data-binary @dog.jpg http://127.0.0.1:8000/caption

The server is the standard library's, a thread per connection. A framework would bring a router, an event loop and a
dozen packages for two paths and one model that computes one batch at a time; what matters here (what is accepted, how
much of it, how long it may take) would have to be said to it all the same. The thread reads, readers in processes of
their own decode (`readers.py`), and one desk captions what waits as a batch (`desk.py`).

What is bounded: connections, a picture's bytes, the bytes of all pictures that are being read, the seconds that a
request may take to arrive and a picture to be decoded. What is served: a few files by their exact names. Who is
answered: this machine alone unless `--host` says otherwise, and only requests that name the server by an address or as
`localhost` and come from its own page or from no page, so that no other site can use it through a visitor's browser.
"""

import ipaddress
import json
import re
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from showtell.errors import UserError, one_line
from showtell.files import size
from showtell.prediction.pictures import view_of
from showtell.sharing.desk import Answer, Desk
from showtell.sharing.readers import Readers

CAPTION = "/caption"
MAX_UPLOAD = 32_000_000
MAX_READING = 2 * MAX_UPLOAD  # of all uploads that are not decoded yet
MAX_CONNECTIONS = 256
SECONDS_TO_ARRIVE = 30.0
_SECONDS_TO_LEAVE = 5.0  # what follows a refusal is thrown away so long; a closed door would cut the answer off
_CHUNK = 1 << 16
_SOURCES = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'"
_SOURCES += "; media-src 'self' blob:"
_HEADERS = {
    "Content-Security-Policy": f"{_SOURCES}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Connection": "close",
}
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"

Files = Mapping[str, tuple[str, bytes]]
"""What is served, by its exact path: type and content."""


class Refusal(UserError):
    """Why a request is not answered, with HTTP's number for it."""

    def __init__(self, status: HTTPStatus, line: str) -> None:
        super().__init__(line)
        self.status = status


class Budget:
    """So many bytes that several threads may have at a time; who wants more waits."""

    def __init__(self, total: int) -> None:
        self._free, self._changed = total, threading.Condition()

    @contextmanager
    def taken(self, count: int) -> Iterator[None]:
        """A block that has `count`, at most all, of them."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= count)
            self._free -= count
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()


class CaptionServer(ThreadingMixIn, TCPServer):
    """Answers `GET` of its files and `POST /caption` of a picture's bytes.

    Args:
        address: host and port; port 0 is any that is free.
        files: what is served.

    Attributes:
        desk: who captions.
        readers: who decode.
    """

    desk: Desk
    readers: Readers

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int], files: Files) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, Handler)
        self.files = files
        self.budget = Budget(MAX_READING)
        self.host, self.port = str(self.server_address[0]), int(self.server_address[1])
        self.is_local = ipaddress.ip_address(self.host).is_loopback
        self.deadlines: dict[socket.socket, float] = {}
        self._places = threading.Semaphore(MAX_CONNECTIONS)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def is_called(self, name: str) -> bool:
        """Whether a request that names its server so is meant for this one; a page elsewhere can only use a name."""
        with suppress(ValueError):
            return ipaddress.ip_address(name).is_loopback or not self.is_local
        own = socket.gethostname().lower()
        return name == "localhost" or (not self.is_local and name in (own, f"{own.partition('.')[0]}.local"))

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, of which there are not more than `MAX_CONNECTIONS`."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        with suppress(OSError):
            request.settimeout(1)
            request.sendall(_BUSY + _line("too many pictures are waiting; try again in a while"))
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As there."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.deadlines.pop(request, None)
            self._places.release()

    def service_actions(self) -> None:
        """Twice a second: who has not sent all in time is not listened to any longer."""
        now = time.monotonic()
        for request, deadline in list(self.deadlines.items()):
            if deadline < now:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RD)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up is no error; anything else is a bug, whose traceback is wanted."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            traceback.print_exc()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: CaptionServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Showtell", ""

    def setup(self) -> None:
        """As there, with limited time for the request to arrive."""
        super().setup()
        self._expect_within(SECONDS_TO_ARRIVE)

    def _expect_within(self, seconds: float | None) -> None:
        if seconds is None:
            self.server.deadlines.pop(self.connection, None)
        else:
            self.server.deadlines[self.connection] = time.monotonic() + seconds

    def do_GET(self) -> None:
        """A file."""
        self._answer(self._file)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Captions of the picture that is the request's body."""
        self._answer(self._captions)

    def _answer(self, ask: Callable[[], tuple[str, bytes]]) -> None:
        try:
            self._check_asker()
            kind, content = ask()
        except Refusal as error:
            self._send(error.status, "application/json", _line(str(error)))
            self._hear_out()
        except UserError as error:  # no picture, or a decoder that says nothing
            self._send(HTTPStatus.UNPROCESSABLE_ENTITY, "application/json", _line(str(error)))
        except (ConnectionError, TimeoutError):
            raise
        except Exception:
            traceback.print_exc()
            told = _line("the model failed; the terminal of the server says why")
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "application/json", told)
        else:
            self._send(HTTPStatus.OK, kind, content)

    def _check_asker(self) -> None:
        """Refuses other sites' pages, which a browser lets ask, and names that others have given this address."""
        host = self.headers.get("Host", "")
        name = re.sub(r":\d+$", "", host).removeprefix("[").removesuffix("]").lower()
        if not self.server.is_called(name):
            told = f"this server is not called {name[:80]!r}; open {self.server.url}"
            raise Refusal(HTTPStatus.MISDIRECTED_REQUEST, told)
        site = self.headers.get("Sec-Fetch-Site", "none")
        foreign = self.headers.get("Origin", f"http://{host}") != f"http://{host}"
        if self.command == "POST" and (foreign or site not in ("none", "same-origin")):
            raise Refusal(HTTPStatus.FORBIDDEN, f"only the page of this server may ask; open {self.server.url}")

    def _file(self) -> tuple[str, bytes]:
        path = self.path.partition("?")[0]
        if path not in self.server.files:
            raise Refusal(HTTPStatus.NOT_FOUND, f"nothing is served as {path[:80]}; the page is {self.server.url}")
        return self.server.files[path]

    def _captions(self) -> tuple[str, bytes]:
        if self.path != CAPTION:
            raise Refusal(HTTPStatus.NOT_FOUND, f"pictures are sent to {self.server.url}{CAPTION}")
        length = self._length()
        self._expect_within(None)  # who waits for others is not late
        with self.server.budget.taken(length):
            data = self._body(length)
            with self.server.readers.one() as read:
                (width, height), inputs = read(data)
            del data
        answer: Answer = self.server.desk.caption(inputs)
        if "grid" in answer:
            answer["view"] = view_of(width, height, read.transform)
        return "application/json", json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace") + b"\n"

    def _length(self) -> int:
        lengths = self.headers.get_all("Content-Length", [])
        if len(lengths) != 1 or not re.fullmatch(r"[0-9]{1,15}", lengths[0]) or "Transfer-Encoding" in self.headers:
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "send the picture as the body, with its Content-Length")
        length = int(lengths[0])
        if length > MAX_UPLOAD:
            told = f"a picture of {size(length)}, more than {size(MAX_UPLOAD)}; make it smaller"
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, told)
        return length

    def _body(self, length: int) -> bytes:
        self._expect_within(SECONDS_TO_ARRIVE)
        data = self.rfile.read(length)
        self._expect_within(None)
        if len(data) < length:
            told = f"only {len(data):,} of {length:,} bytes came within {SECONDS_TO_ARRIVE:g} s; send it again"
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, told)
        return data

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.close_connection = True
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(content))), *_HEADERS.items()):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _hear_out(self) -> None:
        """Reads what is still coming, or closing would reset the connection before the answer is read."""
        try:
            self.connection.shutdown(socket.SHUT_WR)
        except OSError:  # who asked has hung up
            return
        self._expect_within(_SECONDS_TO_LEAVE)
        left = 2 * MAX_UPLOAD
        while left > 0 and (chunk := self.rfile.read1(_CHUNK)):
            left -= len(chunk)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the library refuses (no HTTP, too long a line) as a line of JSON too."""
        told = message or HTTPStatus(code).phrase
        self._send(code, "application/json", _line(f"{told[:200]}; see {self.server.url}"))

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: who asked for what is nobody's business."""


def _line(error: str) -> bytes:
    return json.dumps({"error": one_line(error)}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
