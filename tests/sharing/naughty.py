"""A decoder that hangs or dies; in a file of its own, which the reader's process imports fast."""

import os
import signal
import time
from collections.abc import Sequence

from showtell.prediction.pictures import Look
from showtell.sharing.readers import Read, read_picture


def naughty(data: bytes, looks: Sequence[Look]) -> Read:
    if data == b"hang":
        time.sleep(60)
    if data == b"die":
        os.kill(os.getpid(), signal.SIGSEGV)
    return read_picture(data, looks)
