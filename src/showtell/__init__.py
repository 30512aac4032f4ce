"""Showtell: image-captioning experiments with PyTorch Lightning and Hydra."""

from pathlib import Path

# the settings of all shipped parts; nothing of this imports torch
import showtell.data.settings
import showtell.models.settings
import showtell.objectives.settings  # noqa: F401
from showtell.config.plugins import load as load_plugins
from showtell.config.registry import register

__version__ = "0.1.0"
__all__ = ["register", "use"]


def use(file: str | Path) -> None:
    """Imports a plugin, a Python file that registers parts of its own, or a folder of them.

    Raises:
        UserError: it is not there, or takes a name that is there.
    """
    load_plugins(Path(file))
