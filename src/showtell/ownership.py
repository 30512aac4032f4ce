"""Who trains in a run directory: one process at a time, with those that it started.

The owner locks a file there, which says who it is. The kernel frees the lock with the last process that has the file
open: ranks get it from their launcher, a sweep's job from its supervisor, a loader's workers by being forked. So
nothing that is left of a killed run writes into its directory while another one trains there, and no lock outlives its
holders, whichever way they end. Network file systems carry such locks to other machines; where one has no locks,
nothing keeps two processes apart. Only the standard library is imported: the supervisors of sweeps are small.
"""

import errno
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from showtell.errors import UserError

try:
    import fcntl
except ImportError:  # a system without it: nothing keeps two processes apart there
    fcntl = None  # type: ignore[assignment]

INHERITED = "SHOWTELL_LOCK"
"""In the environment of what an owner starts: the number of its open lock."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
# how long what a dead owner started may take to end, and how long a file server may take to see that a machine is gone
_CHILDREN_SECONDS, _SERVER_SECONDS = 30.0, 180.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Owner:
    """The process that locked a directory: its number, its machine, the batch system's job that it belongs to."""

    pid: int = 0
    host: str = ""
    job: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {'this machine' if self.host == socket.gethostname() else self.host}"

    def patience(self) -> float:
        """Seconds to wait for its lock: it has ended, but its children, or a file server, do not know yet."""
        if self.job and self.job == _job():
            return _SERVER_SECONDS  # the same job, put back in the queue: what held the lock is gone
        return _CHILDREN_SECONDS if self.host == socket.gethostname() and not is_alive(self.pid) else 0.0


def owner_of(lock: str | os.PathLike[str]) -> Owner:
    """What a lock file says of its owner; it may have ended since."""
    with suppress(OSError, ValueError, TypeError, RecursionError, UserError), _opened(lock, os.O_RDONLY) as file:
        return Owner(**json.loads(file.read(4096)))
    return Owner()


def locked(lock: str | os.PathLike[str]) -> IO[bytes] | None:
    """The lock as an open file that names this process, or None where another process holds it; errors as `_opened`."""
    while True:
        held = _opened(lock)
        try:
            if fcntl is not None:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            return None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                held.close()
                raise
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(held.fileno()), os.stat(lock)):
                break
        held.close()  # whoever had it has removed it since it was opened
    with suppress(OSError):  # a full disk: the lock holds, and cannot say for whom
        held.truncate(0)
        held.write(json.dumps(asdict(Owner(os.getpid(), socket.gethostname(), _job()))).encode())
        held.flush()
    return held


@contextmanager
def owning(lock: Path) -> Iterator[int | None]:
    """A block in which this process owns the directory of `lock`.

    Yields:
        The lock's file descriptor, for what is started meanwhile (`handed_on`).

    Raises:
        UserError: another process owns it.
    """
    held = _inherited(lock)
    if held is not None:
        yield held
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    own = _wait(lock)
    try:
        yield own.fileno()
    finally:
        with suppress(OSError):  # what it names has been trained or is gone
            lock.unlink()
        own.close()


def handed_on(held: int) -> dict[str, str]:
    """The environment of a process that is started with this lock among its open files."""
    return {INHERITED: str(held)}


def is_alive(pid: int) -> bool:
    """Whether a process of this machine exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _opened(lock: str | os.PathLike[str], how: int = os.O_RDWR | os.O_CREAT | os.O_APPEND) -> IO[bytes]:
    """The lock's file; what a link names is not written over, and no pipe is waited for.

    Raises:
        UserError: something else lies there.
    """
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(lock).st_mode):
            raise UserError(f"{lock}: is not the lock of a run but a link, a folder or a pipe; remove it")
    flags = how | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return open(os.open(lock, flags, 0o666), "rb" if how == os.O_RDONLY else "ab")


def _wait(lock: Path) -> IO[bytes]:
    began = time.monotonic()
    while (held := locked(lock)) is None:
        owner = owner_of(lock)
        if time.monotonic() - began > owner.patience():
            stop = f"stop it (kill {owner.pid})"
            if owner.host != socket.gethostname():
                stop = f"stop it there; if that machine is gone, remove {lock}"
            raise UserError(f"{lock.parent}: {owner} trains there; wait for its end, or {stop}")
        time.sleep(_LOOK_SECONDS)
    return held


def _inherited(lock: Path) -> int | None:
    """The lock that whoever started this process has handed on, if it is this one."""
    with suppress(KeyError, ValueError, OSError):
        held = int(os.environ[INHERITED])
        if os.path.samestat(os.fstat(held), os.stat(lock)):
            return held
    return None


def _job() -> str:
    return os.environ.get("SLURM_JOB_ID", "")
