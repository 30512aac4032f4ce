"""Showtell: image-captioning experiments with PyTorch Lightning and Hydra."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from showtell.prediction.captioner import Captioner

__version__ = "0.1.0"


def load(path: "str | Path", device: str = "auto") -> "Captioner":
    """A trained model that captions picture files: `showtell.load("runs/demo/STAMP").caption(["dog.jpg"])`.

    Args:
        path: a run directory (its best checkpoint is taken) or a checkpoint.
        device: where it computes; `auto` is a GPU where there is one.

    Raises:
        UserError: no intact checkpoint of Showtell's, or the encoder's weights cannot be had.
    """
    from showtell.prediction.captioner import Captioner  # torch takes seconds to import

    return Captioner.from_checkpoint(path, device)
