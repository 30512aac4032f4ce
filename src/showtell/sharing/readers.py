"""Processes that decode uploaded pictures, each in limited time.

A picture's header says what decoding costs and too much is refused (`data/picture_formats.py`), but a decoder is a
hundred thousand lines of C: one that hangs or dies must cost one upload and not the server. So pictures are decoded in
processes of their own, which are killed at the limit and started anew. What they answer is a picture's numbers or a
line of text, never a pickle.
"""

import multiprocessing
import os
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from queue import Queue
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from showtell.data.images import PictureError, pixels_of
from showtell.prediction.pictures import Look

SECONDS = 10.0
_INPUTS, _REFUSAL = b"i", b"r"
_HEAD = struct.Struct("<4sII")
NAME = "the upload"  # what a picture is called in messages


class Read(NamedTuple):
    """An upright picture's width and height, and what the looks made of it."""

    size: tuple[int, int]
    inputs: list[Tensor]


def read_picture(data: bytes, looks: Sequence[Look]) -> Read:
    """What the encoders see of a picture; raises a PictureError in one line."""
    pixels = pixels_of(data, NAME)
    return Read((pixels.shape[2], pixels.shape[1]), [look(pixels) for look in looks])


class Reader:
    """A process that decodes one picture at a time.

    Args:
        looks: what is made of each picture.
        seconds: the most that one may take.
        read: what makes it.
    """

    def __init__(
        self,
        looks: Sequence[Look],
        seconds: float = SECONDS,
        read: Callable[[bytes, Sequence[Look]], Read] = read_picture,
    ) -> None:
        self._looks, self._seconds, self._read = looks, seconds, read
        black = torch.zeros(3, 8, 8, dtype=torch.uint8)
        self._shapes = [tuple(look(black).shape) for look in looks]
        self.transform = looks[0].transform
        self._start()

    def _start(self) -> None:
        context = _context()
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self._looks, self._read), daemon=True)
        self._process.start()
        theirs.close()

    def wait_until_ready(self) -> None:
        """Returns once the process has imported what it needs."""
        self._pipe.recv_bytes()

    def __call__(self, data: bytes) -> Read:
        """The picture that a file's content is.

        Raises:
            PictureError: no picture, or one that takes too long; one line.
        """
        try:
            self._pipe.send_bytes(data)
            if self._pipe.poll(self._seconds):
                return self._unpacked(self._pipe.recv_bytes())
            reason = f"takes more than {self._seconds:g} s to decode; save it again"
        except (EOFError, OSError):
            reason = "ends the decoder; save it again"
        self.close()
        self._start()
        self.wait_until_ready()
        raise PictureError(f"{NAME}: {reason}")

    def _unpacked(self, answer: bytes) -> Read:
        if answer[:1] != _INPUTS:
            raise PictureError(answer[1:].decode(errors="replace"))
        _, width, height = _HEAD.unpack_from(answer)
        numbers = torch.from_numpy(np.frombuffer(answer, np.float32, offset=_HEAD.size).copy())
        parts = torch.split(numbers, [int(np.prod(shape)) for shape in self._shapes])
        return Read((width, height), [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)])

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _context() -> Any:
    """How processes are started: never by a fork of this one, whose other threads hold locks."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # torch is imported once and its memory shared
    return context


class Readers:
    """Several, of which whoever has a picture takes a free one."""

    def __init__(self, looks: Sequence[Look], count: int = 0) -> None:
        self._all = [Reader(looks) for _ in range(count or min(2, os.cpu_count() or 1))]
        self._free: Queue[Reader] = Queue()
        for reader in self._all:
            reader.wait_until_ready()
            self._free.put(reader)

    @contextmanager
    def one(self) -> Iterator[Reader]:
        """A block in which a reader is one's own."""
        reader = self._free.get()
        try:
            yield reader
        finally:
            self._free.put(reader)

    def close(self) -> None:
        """Ends them."""
        for reader in self._all:
            reader.close()


def _work(pipe: Connection, looks: Sequence[Look], read: Callable[[bytes, Sequence[Look]], Read]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which then ends this process
    torch.set_num_threads(1)
    pipe.send_bytes(b"ready")
    while True:
        try:
            data = pipe.recv_bytes()
        except EOFError:  # the server is gone
            return
        try:
            size, inputs = read(data, looks)
            pipe.send_bytes(_HEAD.pack(_INPUTS, *size) + b"".join(one.contiguous().numpy().tobytes() for one in inputs))
        except PictureError as error:
            pipe.send_bytes(_REFUSAL + str(error).encode())
