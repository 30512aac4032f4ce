"""One file from a server, whole and right or not at all.

What has arrived stands in `NAME.part` beside the file and is never thrown away while it may be right: a cut, a stall
or a kill goes on behind its last byte, if the server grants ranges. No server is believed: neither its lengths nor its
ranges nor the bytes themselves; the checksum alone makes `NAME.part` the file. If what was put together from several
answers has another one, the file is fetched anew once, in case it was changed there meanwhile.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from showtell import __version__
from showtell.errors import UserError
from showtell.files import WriteError, size, write_error

ATTEMPTS = 6
TIMEOUT_SECONDS = 30.0
CHUNK = 1 << 20
ELSEWHERE = "get it elsewhere, then fetch with --from FOLDER"
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)


class FetchError(UserError):
    """A file that cannot be had; one line with the remedy."""


class Interrupted(Exception):
    """The server cut, stalled or was not to be reached; another request may help."""


@dataclass(frozen=True)
class Remote:
    """A file on a server.

    Attributes:
        url: where it lies.
        num_bytes: how large it is, for messages and as a bound (a tenth more is refused).
        checksum: `md5:` or `sha256:` and hex digits.
    """

    url: str
    num_bytes: int
    checksum: str

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[1]


def matches(file: Path, checksum: str) -> bool:
    """Whether a file's content has this checksum (`md5:...` or `sha256:...`)."""
    algorithm, _, digits = checksum.partition(":")
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest() == digits


def download(
    remote: Remote,
    file: Path,
    advance: Callable[[int], None] = lambda position: None,
    note: Callable[[str], None] = lambda line: None,
    wait: Callable[[float], None] = time.sleep,
    timeout: float = TIMEOUT_SECONDS,
) -> None:
    """Fetches `remote` into `file`.

    Args:
        remote: what to fetch.
        file: what it becomes; its folder is made.
        advance: hears how many bytes are there.
        note: hears why another request was made.
        wait: is called with seconds before it.
        timeout: seconds without a byte after which a server counts as stalled.

    Raises:
        FetchError: it cannot be had, or is not what it should be. What may be right stays in `file`.part.
        WriteError: the disk is full, or a permission is missing.
    """
    part = file.with_name(f"{file.name}.part")
    pieces = _Pieces(remote, part, advance, timeout)
    try:
        _fetch_right(pieces, note, wait)
        os.fsync(pieces.file.fileno())
        os.replace(part, file)
    finally:
        pieces.close()


def _fetch_right(pieces: "_Pieces", note: Callable[[str], None], wait: Callable[[float], None]) -> None:
    for last_try in (False, True):
        in_one_piece = pieces.position == 0
        in_one_piece &= _fetch_all(pieces, note, wait) == 1
        if pieces.is_right:
            return
        error = _wrong_content(pieces)
        pieces.start_over()
        if in_one_piece or last_try:
            raise FetchError(error)
        note("the pieces do not fit together; from the beginning")


def _fetch_all(pieces: "_Pieces", note: Callable[[str], None], wait: Callable[[float], None]) -> int:
    """Requests until the server says that this is all; how many it took."""
    failures = requests = 0
    while True:
        before = pieces.position
        try:
            requests += 1
            pieces.request()
            return requests
        except Interrupted as error:
            failures = 0 if pieces.position - before > pieces.progress_bytes else failures + 1
            if failures == ATTEMPTS or not pieces.answered:
                raise FetchError(_interrupted(pieces, str(error))) from None
            note(f"{error} at {size(pieces.position)}; going on")
            wait(min(30.0, 2.0 ** (failures - 1)))


class _Pieces:
    """The `.part` file with its checksum so far, and the requests that make it longer."""

    def __init__(self, remote: Remote, part: Path, advance: Callable[[int], None], timeout: float) -> None:
        self.remote = remote
        self.part = part
        self.advance = advance
        self.timeout = timeout
        self.answered = False
        self.ranges = True
        self.limit = remote.num_bytes + remote.num_bytes // 10 + CHUNK
        self.progress_bytes = min(CHUNK, remote.num_bytes // 100)
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            self.file: BinaryIO = part.open("ab+")
        except OSError as error:
            raise write_error(part, error, remote.num_bytes) from error
        self.file.seek(0)
        self.algorithm, _, self.wanted = remote.checksum.partition(":")
        self.digest = hashlib.file_digest(self.file, self.algorithm)
        self.position = self.file.seek(0, os.SEEK_END)
        advance(self.position)

    @property
    def hexdigest(self) -> str:
        return self.digest.hexdigest()

    @property
    def is_right(self) -> bool:
        return self.hexdigest == self.wanted

    def request(self) -> None:
        """Asks for what is missing and appends what comes."""
        headers = {"User-Agent": f"showtell/{__version__}", "Accept-Encoding": "identity"}
        if self.position and not self.ranges:
            self.start_over()
        if self.position:
            headers["Range"] = f"bytes={self.position}-"
        try:
            with urlopen(Request(self.remote.url, headers=headers), timeout=self.timeout) as answer:
                self.answered = True
                self._append(answer)
        except WriteError:
            raise
        except HTTPError as error:
            self.answered = True
            with error:
                self._explain(error)
        except (OSError, HTTPException) as error:
            self.answered |= not isinstance(error, URLError)  # which is raised where there is no connection
            raise Interrupted(_reason(error)) from None

    def _append(self, answer: HTTPResponse) -> None:
        if self.position and not (answer.status == 206 and _starts_at(answer.headers, self.position)):
            self.ranges = answer.status == 200  # from its beginning; a wrong range is not asked for again
            self.start_over()
            if not self.ranges:
                raise Interrupted("it sent another part than the one it was asked for")
        announced = answer.headers.get("Content-Length", "")
        end = self.position + int(announced) if announced.isdigit() else None
        while data := answer.read1(CHUNK):  # what is there: a stall must not take it along
            self._write(data)
        if end is not None and self.position < end:
            raise Interrupted("the connection was cut")

    def _write(self, data: bytes) -> None:
        if self.position + len(data) > self.limit:
            self.start_over()
            expected = size(self.remote.num_bytes)
            raise FetchError(f"{self.remote.url}: the server sends more than the {expected} expected; {ELSEWHERE}")
        try:
            self.file.write(data)
            self.file.flush()
        except OSError as error:
            self.file.truncate(self.position)
            raise write_error(self.part, error, self.remote.num_bytes - self.position) from error
        self.digest.update(data)
        self.position += len(data)
        self.advance(self.position)

    def _explain(self, error: HTTPError) -> None:
        """Returns where the server says that there is no more, otherwise raises."""
        if error.code == 416 and self.position:
            return
        line = f"HTTP {error.code} {str(error.reason).splitlines()[0]}"
        if error.code in _TEMPORARY:
            raise Interrupted(line)
        raise FetchError(f"{self.remote.url}: {line}; {ELSEWHERE}")

    def start_over(self) -> None:
        self.file.truncate(0)
        self.digest, self.position = hashlib.new(self.algorithm), 0
        self.advance(0)

    def close(self) -> None:
        """Keeps what may be of use later; an empty file is not."""
        self.file.close()
        if self.position == 0:
            self.part.unlink(missing_ok=True)


def _starts_at(headers: Message, position: int) -> bool:
    return bool(re.match(rf"bytes {position}-\d+/", headers.get("Content-Range", "")))


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPException | ConnectionResetError):
        return "the connection was cut"
    if isinstance(error, URLError):
        return _reason(error.reason) if isinstance(error.reason, Exception) else str(error.reason)
    if isinstance(error, TimeoutError):
        return "the server does not answer"
    return str(getattr(error, "strerror", None) or error)


def _interrupted(pieces: _Pieces, reason: str) -> str:
    url = pieces.remote.url
    if not pieces.answered:
        return f"{url}: {reason}; is there a network? If not, {ELSEWHERE}"
    there = f"the same command later goes on from {size(pieces.position)}" if pieces.position else ELSEWHERE
    return f"{url}: {reason}, {ATTEMPTS} times in a row; {there}"


def _wrong_content(pieces: _Pieces) -> str:
    wanted, found = pieces.wanted[:8], pieces.hexdigest[:8]
    return (
        f"{pieces.remote.url}: the server sent {size(pieces.position)} that are not this file ({pieces.algorithm} "
        f"{found}... instead of {wanted}...), perhaps a proxy's page; removed; {ELSEWHERE}"
    )
