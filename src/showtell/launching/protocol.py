"""What the processes of a run and those that watch them agree on."""

import os
import signal
import time

# what stops a run after the present step, saved
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
BEAT_SECONDS = 1.0
# without a sign of life and without computing anything for so long, a rank counts as hung
SILENCE_SECONDS = 12.0
HUNG = f"was hung: no sign of life for {SILENCE_SECONDS:.0f} s"
# a network may be gone for longer
MACHINE_SILENCE_SECONDS = 20.0
# what the other ranks get to save and end, once one has failed
GRACE_SECONDS = 10.0
# the exit code of a rank that ended because another one had
LOST_CONNECTION = 76


def end_soon() -> None:
    """Ends this process: saved if the present step ends in time."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
