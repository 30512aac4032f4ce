"""Imports once what all jobs of a sweep need, and forks them: `python nursery.py SCRIPT ROOM MODULE...`.

Starting Python and importing torch, Lightning and Hydra takes seconds, as long as a small run trains. Here one process
does it for the whole sweep and each job is a copy of it, which is there in milliseconds. Standard input is a socket to
the sweep (`forking`). What comes through it is a socket for each job, with the job's script, words and environment. The
copy takes the job's lock, forks the job and becomes its guard, the same as of any other job, so that everything that
`guard` promises holds: this process watches nothing, and when it dies no job is touched.

A copy must be what a new interpreter would be. So nothing is computed here, no thread is started and no GPU is looked
at (`CUDA_VISIBLE_DEVICES` is read at the first look), the numbers of threads are in this process's own environment, and
the job's script is run from its first line as `__main__`, under the job's command line, with what the imports printed
at the top of its log.

ROOM is nothing but room, for a job's own command line in the list of processes.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, NoReturn

from showtell.sweeps import guard

LENGTH_BYTES = 8


@dataclass(frozen=True)
class Order:
    """A job to be born: its command from the interpreter on, its lock, its log, and additions to the environment."""

    command: list[str]
    lock: str
    log: str
    environment: dict[str, str]

    def packed(self) -> bytes:
        """As it goes through the job's socket."""
        text = json.dumps(vars(self)).encode()
        return len(text).to_bytes(LENGTH_BYTES, "big") + text


def main() -> None:
    """Serves orders until the sweep has gone; in a job it returns when the job ends."""
    guard.die_with_parent()
    script, _, *modules = sys.argv[1:]
    sys.argv = [script]
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(script)  # as of `python SCRIPT`
    for module in modules:
        importlib.import_module(module)
    said = _printed()
    gc.collect()
    gc.freeze()  # the copies share what is there as long as nobody counts it
    door = _next_birth()
    if door is None:
        _bury()
        os._exit(0)
    order, parent, output = _become_guard(door)
    _become_job(order, parent, output, said)
    runpy.run_path(script, run_name="__main__")


def _next_birth() -> socket.socket | None:
    """Waits for orders; returns in each copy with its socket, and in this process at the sweep's end with nothing."""
    line = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    while True:
        message, descriptors, _, _ = socket.recv_fds(line, 1, 1)
        if not message:
            return None
        _bury()
        with socket.socket(fileno=descriptors[0]) as door:
            if _fork() == 0:
                line.close()
                return door.dup()


def _fork() -> int:
    with warnings.catch_warnings():
        # numpy's OpenBLAS has threads, and puts them away for the time of a fork
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _bury() -> None:
    """Removes ended guards from the list of processes."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _become_guard(door: socket.socket) -> tuple[Order, int, IO[bytes]]:
    """Forks the job and becomes its guard; returns in the job: what is ordered, its guard, its log."""
    os.setsid()
    parent = os.getpid()
    try:
        door.sendall(f"{parent}\n".encode())
    except OSError:  # the sweep has changed its mind
        os._exit(guard.NOT_STARTED)
    order = _received(door)
    if _has_ended(door):  # or changes it now
        os._exit(guard.NOT_STARTED)
    signal.pthread_sigmask(signal.SIG_BLOCK, guard.FORWARDED)  # until somebody is there to obey
    try:
        output, held = open(order.log, "ab"), guard.locked(order.lock)  # noqa: SIM115
        pid = _fork() if held else None
    except OSError:  # the folder is gone, or there is no room for another process
        _leave(door, 1)
    if held is None or pid is None:
        _leave(door, guard.BUSY)
    if pid == 0:
        door.close()
        held.close()
        return order, parent, output
    os.dup2(door.fileno(), 0)
    os.set_inheritable(held.fileno(), True)
    words = ["--adopt", str(pid), str(held.fileno()), order.log]
    os.execv(sys.executable, [sys.executable, "-I", "-S", guard.__file__, *words])


def _leave(door: socket.socket, code: int) -> NoReturn:
    door.sendall(f"{code}\n".encode())
    os._exit(code)


def _become_job(order: Order, parent: int, output: IO[bytes], said: bytes) -> None:
    """Everything that a new interpreter would find otherwise than this process."""
    guard.die_with_parent()
    if os.getppid() != parent:
        os._exit(128 + signal.SIGTERM)
    with output:
        output.write(said)
        output.flush()
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.update(order.environment)
    sys.argv = order.command[1:]
    sys.excepthook = _without_our_frames
    _draw_afresh()
    _show_as(order.command)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, guard.FORWARDED)


def _draw_afresh() -> None:
    """Seeds from the system what an import has seeded from it; Python's own generator does so by itself."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()


def _received(door: socket.socket) -> Order:
    length = int.from_bytes(_exactly(door, LENGTH_BYTES), "big")
    return Order(**json.loads(_exactly(door, length)))


def _exactly(door: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = door.recv(size - len(content))
        if not part:
            os._exit(guard.NOT_STARTED)
        content += part
    return content


def _has_ended(door: socket.socket) -> bool:
    try:
        return not door.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


def _printed() -> bytes:
    """What has been printed so far; standard output and error are one file."""
    sys.stdout.flush()
    sys.stderr.flush()
    return os.pread(1, os.fstat(1).st_size, 0)


def _without_our_frames(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A traceback as it is without a nursery: it begins in the script."""
    inner = trace
    while inner is not None and inner.tb_frame.f_code.co_filename != sys.argv[0]:
        inner = inner.tb_next
    sys.__excepthook__(kind, error.with_traceback(inner or trace), inner or trace)


def _show_as(command: Sequence[str]) -> None:
    """Makes `ps` and `top` tell the job's command line: Linux reads it from where this process's own was put."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    if 0 < start < end:
        words = b"\0".join(os.fsencode(word) for word in command)[: end - start - 1]
        ctypes.memmove(start, words.ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    main()
