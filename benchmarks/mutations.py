"""What damaged annotation files and pictures cost: how each ends, the slowest, and the one that takes most memory.

PYTHONPATH=src:. python benchmarks/mutations.py annotations 10000
PYTHONPATH=src:. python benchmarks/mutations.py pictures 5000

Seeded, so that a case can be tried again. CPU seconds; memory is the process's peak above what it had before (Linux).
"""

import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.data.mutated_pictures import mutated_picture, originals
from tests.data.test_layouts import LAYOUTS
from tests.data.test_mutated_annotations import damage, read, unaccounted

from showtell.data.images import PictureError, decode_picture

Case = tuple[str, Callable[[], str]]


def annotations(count: int, first: int) -> Iterator[Case]:
    """Every layout in turn, one of its files damaged."""
    layouts = sorted(LAYOUTS, key=lambda layout: layout.__name__)
    for seed in range(first, first + count):
        layout, root = layouts[seed % len(layouts)], Path(tempfile.mkdtemp())
        damage(root, layout, seed)

        def case(root: Path = root) -> str:
            found = read(root)
            if isinstance(found, str):
                return "refused in one line"
            return "UNACCOUNTED" if unaccounted(root, found) else "every caption accounted for"

        yield f"{layout.__name__} {seed}", case
        shutil.rmtree(root)


def pictures(count: int, first: int) -> Iterator[Case]:
    """JPEG, PNG and WEBP of 13 kinds in turn."""
    kinds = originals()
    for data in kinds.values():  # decoders are loaded
        decode_picture(data, "whole")
    for seed in range(first, first + count):
        name = list(kinds)[seed % len(kinds)]
        data = mutated_picture(kinds[name], random.Random(seed))

        def case(data: bytes = data) -> str:
            try:
                decode_picture(data, "damaged")
            except PictureError:
                return "refused in one line"
            return "read"

        yield f"{name} {seed}", case


def memory(field: str) -> float:
    """MB of this process, by a field of /proc."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def main(kind: str, count: int, first: int = 0) -> int:
    """Tries them; 1 if one ends in an exception, or loses something without a word."""
    ends: Counter[str] = Counter()
    slowest, largest = (0.0, ""), (0.0, "")
    for name, case in {"annotations": annotations, "pictures": pictures}[kind](count, first):
        Path("/proc/self/clear_refs").write_text("5")
        before, began = memory("VmRSS"), time.process_time()
        try:
            end = case()
        except Exception:
            traceback.print_exc()
            end = "TRACEBACK"
        slowest = max(slowest, (time.process_time() - began, name))
        largest = max(largest, (memory("VmHWM") - before, name))
        ends[end] += 1
        if end.isupper():
            print(end, name)
    print(
        f"{kind}: {dict(ends)}; slowest {slowest[0]:.2f} s ({slowest[1]}), most memory {largest[0]:.0f} MB ({largest[1]})"
    )
    return int(any(end.isupper() for end in ends))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
