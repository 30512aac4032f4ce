"""`predict.py RUN --serve` under a hundred uploads at once, 40 of them hostile: answers, and how much memory it takes.

Memory is the sum of the peaks (VmHWM) of the server, of the processes that decode and of their parent, after one
picture and after the hundred; pages that they share count in each. The pictures are real photographs.

    python -m benchmarks serving [--run RUN] [--data FOLDER]
"""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.machine import DATA, at_most, report
from tests.data.test_bad_pictures import CONTENTS
from tests.sharing.test_serve import peak, send, start

from showtell.config import parse


def small_run(folder: Path) -> Path:
    """Attention over EfficientNet-Lite0's 49 regions, trained for an epoch on a few drawn scenes."""
    from showtell.training.train import train

    drawn = {"name": "shapes", "format": "shapes", "root": str(folder / "shapes"), "num_workers": 0}
    settings = {
        "data": {**drawn, "shapes": {"train_pictures": 64, "val_pictures": 8}},
        "encoder": {"name": "efficientnet_lite0", "weights": "imagenet", "pooling": "grid"},
        "decoder": {"name": "attention"},
        "device": {"accelerator": "cpu"},
        "vocab": {"threshold": 1},
        "training": {"max_epochs": 1},
        "cache": str(folder / "cache"),
    }
    train(parse(settings), folder / "run")
    return folder / "run"


def main(options: argparse.Namespace, folder: Path) -> None:
    photographs = [path.read_bytes() for path in sorted((options.data / "flickr800" / "images").glob("*.jpg"))[:60]]
    bad = [content for content, _ in (*CONTENTS.values(), *CONTENTS.values()) if content][:40]
    uploads = list(photographs)
    for place, upload in enumerate(bad):
        uploads.insert(2 * place, upload)
    process, url = start(options.run or small_run(folder))
    try:
        send(url, photographs[0])
        before, began = peak(process.pid), time.monotonic()
        with ThreadPoolExecutor(len(uploads)) as pool:
            answers = [json.loads(answer) for answer in pool.map(lambda upload: send(url, upload), uploads)]
        seconds, after = time.monotonic() - began, peak(process.pid)
    finally:
        process.terminate()  # a shell's background would be deaf to SIGINT
        process.communicate(timeout=60)
    captions = sum("captions" in answer for answer in answers)
    errors = sum("error" in answer for answer in answers)
    report("100 uploads at once, 40 hostile: captions", captions, "captions", "60", captions == len(photographs) == 60)
    report("100 uploads at once, 40 hostile: lines", errors, "lines", "40", errors == 40)
    at_most("100 uploads at once, 40 hostile: memory grows by", (after - before) / 1000, 300, "MB")
    report("100 uploads at once, 40 hostile: until the last answer", seconds, "s", "-", True)
    print(f"memory before: {before / 1000:.0f} MB, after: {after / 1000:.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    with TemporaryDirectory() as temporary:
        main(parser.parse_args(), Path(temporary))
