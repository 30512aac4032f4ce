"""One rank of a run: `python -m showtell.launching.rank RUN_DIR`, with its launcher at the other end of standard input.

The first line from the launcher is the configuration as JSON. After that the line carries signs of life: a thread sends
a byte every second, so a slow step is no silence but a stopped process is, and the end of the launcher, in whatever
way, is noticed: the rank then saves and ends as after SIGTERM, and before long at once.
"""

import json
import os
import re
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path

from showtell.config import Config, parse
from showtell.errors import one_line_errors
from showtell.launching.machines import watch_machines
from showtell.launching.protocol import BEAT_SECONDS, LOST_CONNECTION, end_soon
from showtell.ranks import Ranks, from_first, joined, ranks_of_environment
from showtell.run import Run

_LOST = re.compile(r"gloo/transport|Connection (closed|reset|refused)|Broken pipe|NCCL.*(remote|unhandled system)")


def train_as_rank(config: Config, run_dir: Path, ranks: Ranks) -> float:
    """Joins the other ranks and trains rank 0's run.

    Raises:
        SystemExit: another rank has gone; what is to say about it is others' business.
    """
    from showtell.training import train

    try:
        with joined(ranks, config.device.accelerator, config.device.timeout_seconds):
            values, directory = from_first((config.as_dict(), str(run_dir)))
            watch_machines(ranks, run_dir)
            return train(parse(values), Path(directory))
    except RuntimeError as error:
        if not _LOST.search(str(error)):
            raise
        print(f"rank {ranks.rank} has lost the connection to another rank", file=sys.stderr, flush=True)
        raise SystemExit(LOST_CONNECTION) from None
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None


def main() -> None:
    """Reads the configuration from the launcher, and trains."""
    line = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    config = parse(json.loads(_first_line(line)))
    threading.Thread(target=_live_with_launcher, args=(line,), daemon=True).start()
    ranks = ranks_of_environment()
    assert ranks is not None
    run_dir = Path(sys.argv[1])
    with one_line_errors(Run(run_dir).withdraw if ranks.rank == 0 else lambda: None):
        train_as_rank(config, run_dir, ranks)


def _first_line(line: socket.socket) -> bytes:
    content = b""
    while not content.endswith(b"\n"):
        part = line.recv(65536)
        if not part:
            raise SystemExit(LOST_CONNECTION)
        content += part
    return content


def _live_with_launcher(line: socket.socket) -> None:
    line.settimeout(BEAT_SECONDS)
    while True:
        try:
            if not line.recv(1):
                break
        except TimeoutError:
            pass
        except OSError:
            break
        try:
            with suppress(TimeoutError):  # a launcher that is stopped reads nothing
                line.send(b".")
        except OSError:
            break
    end_soon()


if __name__ == "__main__":
    main()
