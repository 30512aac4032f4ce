"""Processes that decode uploaded pictures, each in limited time.

A picture's header says what decoding costs and too much is refused (`data/picture_formats.py`), but a decoder is a
hundred thousand lines of C: one that hangs or dies must cost one upload and not the server. So pictures are decoded in
processes of their own, which are killed at the limit and started anew. What they answer is a picture's numbers or a
line of text, never a pickle.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from queue import Queue

import numpy as np
import torch
from torch import Tensor

from showtell.data.images import PictureError, pixels_of
from showtell.prediction.pictures import Look

SECONDS = 10.0
_INPUTS, _REFUSAL = b"i", b"r"
NAME = "the upload"  # what a picture is called in messages

Read = Callable[[bytes], list[Tensor]]
"""From a file's content to an encoder's inputs, one per look."""


def read_picture(data: bytes, looks: Sequence[Look]) -> list[Tensor]:
    """What the encoders see of a picture; raises a PictureError in one line."""
    pixels = pixels_of(data, NAME)
    return [look(pixels) for look in looks]


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
        read: Callable[[bytes, Sequence[Look]], list[Tensor]] = read_picture,
    ) -> None:
        self._looks, self._seconds, self._read = looks, seconds, read
        black = torch.zeros(3, 8, 8, dtype=torch.uint8)
        self._shapes = [tuple(look(black).shape) for look in looks]
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit locks that other threads hold
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self._looks, self._read), daemon=True)
        self._process.start()
        theirs.close()

    def wait_until_ready(self) -> None:
        """Returns once the process has imported what it needs."""
        self._pipe.recv_bytes()

    def __call__(self, data: bytes) -> list[Tensor]:
        """The inputs.

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

    def _unpacked(self, answer: bytes) -> list[Tensor]:
        if answer[:1] != _INPUTS:
            raise PictureError(answer[1:].decode(errors="replace"))
        numbers = torch.from_numpy(np.frombuffer(answer, np.float32, offset=4).copy())
        parts = torch.split(numbers, [int(np.prod(shape)) for shape in self._shapes])
        return [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


class Readers:
    """Several, of which whoever has a picture takes a free one."""

    def __init__(self, looks: Sequence[Look], count: int = 0) -> None:
        self._all = [Reader(looks) for _ in range(count or min(2, os.cpu_count() or 1))]
        self._free: Queue[Reader] = Queue()
        for reader in self._all:
            reader.wait_until_ready()
            self._free.put(reader)

    @contextmanager
    def one(self) -> Iterator[Read]:
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


def _work(pipe: Connection, looks: Sequence[Look], read: Callable[[bytes, Sequence[Look]], list[Tensor]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which then ends this process
    torch.set_num_threads(1)
    pipe.send_bytes(b"ready")
    while True:
        try:
            data = pipe.recv_bytes()
        except EOFError:  # the server is gone
            return
        try:
            inputs = [one.contiguous().numpy().tobytes() for one in read(data, looks)]
            pipe.send_bytes(b"".join([_INPUTS.ljust(4), *inputs]))
        except PictureError as error:
            pipe.send_bytes(_REFUSAL + str(error).encode())
