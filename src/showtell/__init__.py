"""Showtell: image-captioning experiments with PyTorch Lightning and Hydra."""
# ruff: noqa: E402 (what an interrupt does comes first)

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

_STARTED = os.path.realpath(sys.argv[0]) if sys.argv else ""
_SCRIPTS = [str(Path(__file__).resolve().parents[2] / name) for name in ("train.py", "predict.py")]
_IS_OURS = _STARTED in _SCRIPTS or (sys.argv[:1] == ["-m"] and any("showtell." in word for word in sys.orig_argv))
if _IS_OURS and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of imports; later `one_line_errors` has a line for it

# all shipped parts by name, and their settings; nothing of this imports torch
import showtell.data.settings
import showtell.evaluation
import showtell.models.settings
import showtell.objectives.settings
import showtell.text
import showtell.training  # noqa: F401
from showtell.config.plugins import load as load_plugins
from showtell.config.registry import register
from showtell.version import __version__

if TYPE_CHECKING:
    from showtell.prediction.captioner import Captioner

__all__ = ["__version__", "load", "register", "use"]


def load(path: str | Path, device: str = "auto", precision: str = "auto") -> "Captioner":
    """A trained model that captions picture files: `showtell.load("runs/demo/STAMP").caption(["dog.jpg"])`.

    Args:
        path: a run directory (its best checkpoint is taken) or a checkpoint.
        device: where it computes; `auto` is a GPU where there is one.
        precision: the decoder's, float32 or bfloat16; `auto` is as it was trained, where the device computes that fast.

    Raises:
        UserError: no intact checkpoint of Showtell's, or the encoder's weights cannot be had.
    """
    from showtell.prediction.captioner import Captioner  # torch takes seconds to import

    return Captioner.from_checkpoint(path, device, precision)


def use(file: str | Path) -> None:
    """Imports a plugin, a Python file that registers parts of its own, or a folder of them.

    Raises:
        UserError: it is not there, or takes a name that is there.
    """
    load_plugins(Path(file))
