"""train.py, and each batch of pictures that the encoder sees adds a line with their number to the file COUNTS."""

import os
from pathlib import Path

from showtell.models.encoders.encoding import FastEncoder

TRAIN = Path(__file__).resolve().parents[2] / "train.py"
encode = FastEncoder.__call__


def count_and_encode(self, pixels):
    with open(os.environ["COUNTS"], "a") as file:  # appended in one write, so jobs can share it
        file.write(f"{len(pixels)}\n")
    return encode(self, pixels)


FastEncoder.__call__ = count_and_encode
# not by runpy, which would make train.py the script that the jobs run
exec(compile(TRAIN.read_text(), str(TRAIN), "exec"), {"__name__": "__main__", "__file__": str(TRAIN)})
