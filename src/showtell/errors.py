"""What is the user's mistake, and what is a bug.

A `UserError` is one line that names file, key or value and the remedy; the scripts print it and exit with 2. Everything
else keeps its traceback, a `ValueError` of a user's own decoder above all, with few exceptions: a disk that is full or
forbidden and memory that has run out are nobody's bug. `explained` is the table of them. What a library raises about
the user's input (JSON, YAML, pictures, archives, Hydra's words) is translated where the library is called.
"""

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from signal import SIG_DFL, SIGINT, SIGPIPE, default_int_handler, getsignal, signal
from typing import TextIO

USER_ERROR = 2
PLACES = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT,
        errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE, errno.ESTALE,
        errno.ENOMEM, errno.ENODEV, errno.ENXIO,
    }
)  # fmt: skip
"""An OSError with one of these numbers speaks of a place: full, failing, read-only, forbidden, missing."""

plugin_files: set[str] = set()
"""Files of the user's own code: an error that passed through one of them keeps its traceback."""


class UserError(Exception):
    """The user's mistake: one line that names file, key or value and the remedy."""


class ConfigError(UserError):
    """A setting that cannot be used; the line names key, value and remedy."""


def explained(error: BaseException) -> str | None:
    """The one line that an error is, or None for a bug, whose traceback is wanted."""
    if isinstance(error, UserError):
        return one_line(str(error))
    if not isinstance(error, Exception) or _passed_through_plugin(error):
        return None
    if isinstance(error, OSError) and error.errno in PLACES:
        name = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        gone = error.errno in (errno.ENOENT, errno.ESTALE)
        remedy = "put back what was removed or moved" if gone else "make room, or choose a place that can be used"
        return one_line(f"{name}{error.strerror}; {remedy}")
    wanted = refused_memory(error)
    return f"{wanted}; use a smaller batch (in training, training.batch_size)" if wanted else None


def refused_memory(error: BaseException) -> str | None:
    """What to say of an allocation that failed, with its size where that is known; None for any other error."""
    is_torch = isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError" or "not enough memory" in str(error) or "alloc_cpu" in str(error)
    )
    if not (isinstance(error, MemoryError) or is_torch) or _passed_through_plugin(error):
        return None
    told = re.search(r"(?:tried|[Uu]nable) to allocate ([\d.]+) ?(bytes|[KMGT]iB)", str(error))
    if told is None:
        return "there is not enough memory"
    wanted = f"{int(told[1]) / 1e9:.3g} GB" if told[2] == "bytes" else f"{told[1].rstrip('.')} {told[2]}"
    return f"there is not enough memory for another {wanted}"


def one_line(text: str) -> str:
    """Line breaks as blanks."""
    return re.sub(r"\s*\n\s*", " ", text).strip()


@contextmanager
def one_line_errors(clean_up: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Turns an error that the user can mend into one line and exit code 2; a bug prints its traceback and exits 1.

    A Ctrl-C is one line too, and exit code 130.

    Args:
        clean_up: goes with the one line, e.g. removes a run directory into which nothing was written.
    """
    if getsignal(SIGINT) is SIG_DFL:  # so that nothing was said amid the imports
        signal(SIGINT, default_int_handler)
    try:
        yield
    except BrokenPipeError:  # the reader of the output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + SIGPIPE) from None
    except KeyboardInterrupt as error:
        _say(f"stopped: {error}" if str(error) else "stopped")
        with suppress(OSError):  # what is in the way is told already
            clean_up()
        raise SystemExit(128 + SIGINT) from None
    except Exception as error:
        line = explained(error)
        if line is None:
            raise
        _say(f"error: {line}")
        with suppress(OSError):  # what is in the way is told already
            clean_up()
        raise SystemExit(USER_ERROR) from None


def let_go(stream: TextIO) -> None:
    """Gives up what a stream cannot write, which would fail again at the process's end and change its exit code."""
    with suppress(OSError, ValueError):  # a stream may have no file
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say(line: str) -> None:
    with suppress(OSError, ValueError):  # a terminal that was closed
        print(line, file=sys.stderr, flush=True)
    for stream in (sys.stdout, sys.stderr):
        let_go(stream)


def _passed_through_plugin(error: BaseException) -> bool:
    if str(error).startswith("Caught ") and any(f'File "{file}"' in str(error) for file in plugin_files):
        return True  # a loader's worker hands its traceback on as text
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_filename in plugin_files for frame, _ in frames)
