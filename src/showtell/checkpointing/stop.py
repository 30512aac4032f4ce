"""Graceful stops: four signals end a run after the present step, saved, and with exit code 128 + n.

They are SIGTERM, SIGINT, SIGHUP and SIGUSR1. The handler sets a flag and nothing else. At a step boundary (or after a
validation batch) the flag is handed to Lightning, which stops through its own path (loggers are finalized, workers
joined), and `LastCheckpoint` saves the boundary. A second SIGINT ends the process at once. Under SLURM, SIGUSR1
(`sbatch --signal=USR1@120`) also puts the job back in the queue.

Several ranks ask one another at the beginning of each step, and look at the answer at its end, when it has long come:
so they all stop after the same step, whichever of them was signalled.
"""

import os
import signal
import subprocess
from types import FrameType, TracebackType
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback

from showtell.checkpointing import lightning_internals as internals
from showtell.distributed import is_rank_zero
from showtell.processes import SIGNALS


class GracefulStop(Callback):
    """A callback for the trainer, and a context around `trainer.fit` in which signals are caught.

    When the block ends after a signal, `SystemExit(128 + n)` is raised, also when training had just finished.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._interrupts = 0
        self._question: tuple[torch.Tensor, Any] | None = None

    def __enter__(self) -> "GracefulStop":
        """Catches the signals from here on."""
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        self._install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restores the handlers; after a signal, requeues a SLURM job where asked and exits with 128 + n."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.signal is None:
            return
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is saved: a further Ctrl-C ends the rest without a traceback
        if self.signal == signal.SIGUSR1 and (line := _requeue()) and is_rank_zero():
            print(line, flush=True)
        raise SystemExit(128 + self.signal) from (error if isinstance(error, Exception) else None)

    def setup(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        """Keeps Lightning from asking the other ranks too: in its signal handler, where they do not answer."""
        if trainer.world_size > 1:
            internals.keep_ranks_silent(trainer)

    def on_sanity_check_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Takes SIGTERM back from Lightning."""
        self._install()

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Takes SIGTERM back from Lightning."""
        self._install()

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Asks the other ranks."""
        self._ask(trainer)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Stops after this step, unless gradients are still being accumulated. All ranks decide together."""
        if not internals.is_accumulating(trainer):
            self._hand_over(trainer)

    def on_validation_batch_end(self, trainer: lightning.Trainer, *_: Any, **__: Any) -> None:
        """Stops within the validation, which a resumed run starts again; all ranks have as many batches of it."""
        self._ask(trainer)
        self._hand_over(trainer)

    def _ask(self, trainer: lightning.Trainer) -> None:
        if trainer.world_size > 1:
            # on the CPU, also where training is on GPUs, which need not wait for it
            flag = torch.tensor(int(self.signal is not None))
            work = torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX, async_op=True)
            self._question = flag, work

    def _hand_over(self, trainer: lightning.Trainer) -> None:
        if self._is_wanted(trainer):
            self.signal = self.signal or signal.SIGTERM
            internals.request_stop(trainer)

    def _is_wanted(self, trainer: lightning.Trainer) -> bool:
        if trainer.world_size == 1:
            return self.signal is not None
        assert self._question is not None
        flag, work = self._question
        work.wait()
        return bool(flag)

    def _install(self) -> None:
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts > 1:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGINT)
        if self.signal is None:
            self.signal = signal.Signals(number)


def _requeue() -> str | None:
    """Puts a SLURM job back in the queue, from its first process, once everything is saved; says how that went."""
    job = os.environ.get("SLURM_JOB_ID", "")
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}"
    if not job.replace("_", "").isdigit() or os.environ.get("SLURM_PROCID", "0") != "0":
        return None
    try:
        code = subprocess.run(["scontrol", "requeue", job], check=False, timeout=60).returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the SLURM job {job} was not put back in the queue: {error}"
    return f"the SLURM job {job} was {'put back in the queue' if code == 0 else 'refused by the queue'}"
