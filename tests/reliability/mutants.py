"""Faults that are put in on purpose, in a forked child: each must turn the comparison of a resumed run red."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import torch

from showtell import files
from showtell.data import augmentation, loading
from showtell.data.images import PictureError
from showtell.training import trainer


def wrong_order() -> None:
    """The order comes from a generator that lives as long as the process, as with DataLoader(shuffle=True)."""
    generator = torch.Generator().manual_seed(1)

    def epoch(self: loading.LengthBatches, number: int) -> list[Any]:
        batches = self.in_order()
        return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]

    loading.LengthBatches.epoch = epoch  # type: ignore[method-assign]


def no_reseed() -> None:
    """Dropout goes on from whatever the global random state happens to be."""
    trainer.ExactSteps.on_train_batch_start = lambda *_: None  # type: ignore[method-assign, assignment]


def loaders_counter() -> None:
    """The position is counted where the loader asks for a batch, which runs ahead of the trainer."""
    trainer.ExactSteps.on_train_batch_end = lambda *_: None  # type: ignore[method-assign, assignment]

    def iterate(self: loading.TrainLoader) -> Iterator[Any]:
        if self.position.batch >= len(self):
            self.position.epoch, self.position.batch = self.position.epoch + 1, 0
        plan = self.batches.epoch(self.position.epoch)[: len(self)][self.position.batch :]

        def counted() -> Iterator[Any]:
            for rows in plan:
                self.position.batch += 1
                yield rows

        return loading.load_in_order(self.dataset, counted(), self.num_workers)  # type: ignore[arg-type]

    loading.TrainLoader.__iter__ = iterate  # type: ignore[method-assign]


def position_forgotten() -> None:
    """A resumed run starts its epoch from the beginning."""
    from showtell.data.module import CaptionData

    CaptionData.load_state_dict = lambda *_: None  # type: ignore[method-assign, assignment]


def augmentation_without_a_key() -> None:
    """Pictures are changed by a generator that lives as long as the process, as torchvision's transforms do."""
    augmentation.draws = lambda *_: torch.rand(8).double().numpy()


def augmentation_of_the_loaders_epoch() -> None:
    """The key's epoch is counted where an epoch is loaded; a resumed process begins with 0."""
    original, epochs = loading.TrainLoader.__iter__, count()

    def iterate(self: loading.TrainLoader) -> Iterator[Any]:
        number, real = next(epochs), loading.replace
        loading.replace = lambda dataset, **_: real(dataset, epoch=number)  # type: ignore[assignment]
        try:
            return original(self)
        finally:
            loading.replace = real

    loading.TrainLoader.__iter__ = iterate  # type: ignore[method-assign]


def temporary_elsewhere() -> None:
    """The temporary file lies on another file system; the run dies half-way through the copy."""
    other = Path(tempfile.mkdtemp(dir="/dev/shm"))
    copies = 0

    def move(source: Any, target: Any) -> None:
        nonlocal copies
        copies += str(target).endswith("last.ckpt")
        content = Path(source).read_bytes()
        if copies == 3:
            Path(target).write_bytes(content[: len(content) // 2])
            shutil.rmtree(other)
            os.kill(os.getpid(), signal.SIGKILL)
        Path(target).write_bytes(content)

    files.temporary_name = lambda path: other / path.name
    files.os = type("os", (), {**vars(os), "replace": staticmethod(move)})  # type: ignore[assignment]


MUTANTS: dict[str, Callable[[], None]] = {
    "wrong order": wrong_order,
    "no reseed": no_reseed,
    "loader's counter": loaders_counter,
    "position forgotten": position_forgotten,
    "temporary elsewhere": temporary_elsewhere,
    "augmentation without a key": augmentation_without_a_key,
    "augmentation of the loader's epoch": augmentation_of_the_loaders_epoch,
}


def at_a_picture(act: Callable[[], Any]) -> Callable[[], None]:
    """A fault that happens in a worker when it reads one certain picture."""

    def install() -> None:
        from showtell.data import readers, workers
        from showtell.data.features import request

        trainer_pid = os.getpid()
        workers.TIMEOUT_SECONDS = 2
        for module, name in ((readers, "load_picture"), (request, "read_picture")):
            original = getattr(module, name)

            def load(path: Any, *rest: Any, original: Any = original) -> Any:
                if os.getpid() != trainer_pid and str(path).endswith("train_000000000007.jpg"):
                    act()
                return original(path, *rest)

            setattr(module, name, load)

    return install


def at_the_seventh_step(act: Callable[[Path], Any]) -> Callable[[], None]:
    """Somebody does something to the run directory."""

    def install() -> None:
        from showtell.models.module import CaptionModule

        original = CaptionModule.training_step

        def step(self: Any, *arguments: Any) -> Any:
            if self.trainer.global_step == 6:
                act(Path(self.trainer.default_root_dir))
            return original(self, *arguments)

        CaptionModule.training_step = step  # type: ignore[method-assign]

    return install


def put_a_file_there(run_dir: Path) -> None:
    shutil.rmtree(run_dir)
    run_dir.touch()


def refuse() -> None:
    """A picture that broke after it was checked."""
    raise PictureError("train_000000000007.jpg: cannot be read (it broke)")


MUTANTS |= {
    "worker killed": at_a_picture(lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "worker exits": at_a_picture(lambda: os._exit(3)),
    "worker hangs": at_a_picture(lambda: time.sleep(600)),
    "picture breaks": at_a_picture(refuse),
    "run removed": at_the_seventh_step(shutil.rmtree),
    "run moved": at_the_seventh_step(lambda run_dir: run_dir.rename(run_dir.with_name("moved"))),
    "a file instead of the run": at_the_seventh_step(put_a_file_there),
}
