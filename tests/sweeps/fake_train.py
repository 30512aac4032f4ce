"""Stands in for train.py where only the sweep around it is tested: the real configuration and run directory, no torch.

`data.root` says by the seed how a run goes, e.g. `3:killed,4:exit1`; all others train `training.max_epochs` epochs of
TICK seconds. The checkpoint is a number, so a resumed run shows where it went on.
"""

import ctypes
import json
import os
import re
import signal
import sys
import time
from pathlib import Path

from showtell.files import write_text_atomically

sys.path.insert(0, str(Path(__file__).parents[2]))
import train as script

TICK = float(os.environ.get("TICK", "0.02"))


def fail(kind):
    match kind:
        case "raises":
            raise RuntimeError("the loss is not a number")
        case "exit0":
            sys.exit(0)
        case "exit1":
            sys.exit(1)
        case "interrupted":
            raise KeyboardInterrupt
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "terminated":
            os.kill(os.getpid(), signal.SIGTERM)
        case "aborted":
            os.abort()


def stop(number, frame):
    raise SystemExit(128 + number)


def train(run):
    config, run_dir = run.config(), run.directory
    run.accept(config)
    checkpoint = run_dir / "checkpoints" / "last.ckpt"
    checkpoint.parent.mkdir(exist_ok=True)
    begin = int(checkpoint.read_text()) if config.resume else 0
    with (run_dir / "starts.txt").open("a") as file:
        file.write(f"{begin} {os.environ.get('OMP_NUM_THREADS')} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
    kind = dict(re.findall(r"(\d+):(\w+)", config.data.root)).get(str(config.seed))
    status = {
        "pid": os.getpid(),
        "max_epochs": config.training.max_epochs,
        "monitor": "val/loss",
        "mode": "min",
        "reason": None,
    }
    for epoch in range(begin + 1, config.training.max_epochs + 1):
        time.sleep(TICK)
        best = 100 / config.decoder.hidden_size + config.seed / 100 + 1 / epoch
        status |= {
            "state": "running",
            "epoch": epoch,
            "step": epoch,
            "best": best,
            "metrics": {"val/loss": best},
            "seconds": epoch,
        }
        write_text_atomically(run_dir / "status.json", json.dumps(status))
        checkpoint.write_text(str(epoch))
        if kind and epoch == 2:
            fail(kind)
    write_text_atomically(run_dir / "status.json", json.dumps(status | {"state": "finished"}))
    print("done")


if __name__ == "__main__":
    if "STUBBORN" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, stop)
    script.start = train
    script.main()
