"""What a run shows while it works: lines that stay, and one line on a terminal that is drawn again and again.

Nobody is waiting for these lines more than for the run itself, so inside `unfailing_output` no failure of a stream
touches it: a terminal that was closed, a reader that has gone, a full disk. There, too, whatever else is printed first
removes the line that is being drawn, so nothing is left of it between others. In a file or a pipe nothing is drawn:
progress is a line now and then.
"""

import errno
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TextIO

from showtell.errors import let_go

_REDRAW_SECONDS, _LINE_SECONDS, _FIRST_LINE_SECONDS = 0.2, 15.0, 2.0
_CLEAR = "\r\x1b[K"
_BAR, _SHORTEST_BAR = 30, 6
_run_is_told = False  # inside `unfailing_output`
_drawn: "Progress | None" = None  # whose line stands on the terminal, without a line break


class _Unfailing:
    """A text stream to which writing never fails."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = ""  # why a part of the output is lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes, after removing a line that is being drawn; what the encoding lacks becomes `?`."""
        if _drawn is not None and text:
            _drawn.hide()
        self.draw(text)
        return len(text)

    def draw(self, text: str) -> None:
        """Writes as it is."""
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding or "ascii"
            self.draw(text.encode(encoding, "replace").decode(encoding))
        except (OSError, ValueError) as error:
            self._failed(error)

    def flush(self) -> None:
        """Flushes."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._failed(error)

    def close(self) -> None:
        """Does not: the stream is the process's. A handler of `absl`, which OpenVINO brings, closes what it has."""
        self.flush()

    def _failed(self, error: Exception) -> None:
        # what is still buffered would fail again when the process ends; a full disk may have room by then
        if getattr(error, "errno", None) in (errno.EIO, errno.EPIPE, errno.EBADF, errno.ENXIO):
            let_go(self._stream)
        else:
            self._lost = str(getattr(error, "strerror", None) or error)

    def end(self) -> str:
        """Writes what is left, or gives it up; what to tell of lost output, or nothing."""
        self.flush()
        let_go(self._stream)
        return self._lost


@contextmanager
def unfailing_output() -> Iterator[None]:
    """A block in which output cannot fail, and in which progress is told on standard output."""
    global _run_is_told
    before = sys.stdout, sys.stderr, _run_is_told
    sys.stdout, sys.stderr = _Unfailing(sys.stdout), _Unfailing(sys.stderr)
    _run_is_told = True
    try:
        yield
    finally:
        if _drawn is not None:
            _drawn.hide()
        ends = [stream.end() if isinstance(stream, _Unfailing) else "" for stream in (sys.stdout, sys.stderr)]
        sys.stdout, sys.stderr, _run_is_told = before
        for name, other, lost in zip(("output", "error"), (sys.stderr, sys.stdout), ends, strict=True):
            if lost:
                with suppress(OSError, ValueError):
                    print(f"note: a part of what went to standard {name} is lost: {lost}", file=other, flush=True)


def tell(what: str, text: str) -> None:
    """A line of what a run begins with: `words     812 of 1,020 ...`; elsewhere, in a notebook say, nothing."""
    if _run_is_told:
        print(_labelled(what, text), flush=True)


def _labelled(what: str, text: str) -> str:
    return f"{what:9} {text}"


def _stream() -> TextIO:
    return sys.stdout if _run_is_told else sys.stderr


def duration(seconds: float) -> str:
    """`0:07`, `12:30`, `3:05:00`."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """Counts units of work in a `with` block and tells the time left; `start` of them are done already.

    On a terminal it is one line, never longer than the terminal is wide, which a line with the sum replaces at the end;
    elsewhere a line after two seconds, and every quarter of a minute. Unless `shown`, it is silent. Nothing runs in the
    background: worker processes are forked meanwhile.
    """

    def __init__(self, what: str, total: int, unit: str, start: int = 0, *, shown: bool = True) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = self._start = start
        self._file = _stream() if shown else None
        self.is_live = self._file is not None and self._file.isatty()
        self._began = time.monotonic()
        self._told = self._began - (0 if self.is_live else _LINE_SECONDS - _FIRST_LINE_SECONDS)

    def __enter__(self) -> "Progress":
        """Draws it."""
        if self.is_live:
            self.show(self.what, self.done, self.total, f"{self.done:,}/{self.total:,} {self.unit}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes the line, and says what was done and how long it took, if it was not cut short."""
        self.hide()
        if kind is None and self._file is not None:
            passed = duration(time.monotonic() - self._began)
            what, _, rest = self.what.partition(" ")
            line = _labelled(what, f"{rest}{': ' if rest else ''}{self.done:,} {self.unit} in {passed}")
            print(line, file=self._file, flush=True)

    def count(self, units: int = 1) -> None:
        """Adds finished units."""
        self.reach(self.done + units)

    def reach(self, done: int) -> None:
        """Sets how many units are finished."""
        self.done = done
        if self.is_due():
            ready = done - self._start
            left = (time.monotonic() - self._began) / ready * (self.total - done) if ready else None
            rest = "" if left is None else f", {duration(left)} left"
            self.show(self.what, done, self.total, f"{done:,}/{self.total:,} {self.unit}{rest}")

    def is_due(self) -> bool:
        """Whether it is time to show where the work stands."""
        return self._file is not None and time.monotonic() - self._told > (
            _REDRAW_SECONDS if self.is_live else _LINE_SECONDS
        )

    def show(self, what: str, done: int, total: int, text: str) -> None:
        """`what`, a bar of `done` of `total`, and `text`: drawn in place of the line before, or as a line."""
        if self._file is None:
            return
        self._told = time.monotonic()
        if not self.is_live:
            print(f"{what}  {text}", file=self._file, flush=True)
            return
        global _drawn
        room = shutil.get_terminal_size().columns - 1
        bar = self._bar(done / max(1, total), min(_BAR, room - len(what) - len(text) - 4))
        _drawn = self  # before it is: a signal may come between
        self._write(_CLEAR + f"{what}  {bar}{text}"[:room])

    def hide(self) -> None:
        """Removes the line from the terminal."""
        global _drawn
        if _drawn is self:
            _drawn = None
            self._write(_CLEAR)

    def _bar(self, share: float, width: int) -> str:
        if width < _SHORTEST_BAR:
            return ""
        full, empty = "━─"
        try:
            f"{full}{empty}".encode(getattr(self._file, "encoding", None) or "ascii")
        except UnicodeEncodeError:
            full, empty = "#-"
        filled = min(width, int(share * width))
        return f"{full * filled}{empty * (width - filled)}  "

    def _write(self, text: str) -> None:
        assert self._file is not None
        draw = self._file.draw if isinstance(self._file, _Unfailing) else self._file.write
        draw(text)
        self._file.flush()
