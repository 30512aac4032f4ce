"""Imports that a start waits for: without the garbage collector, and without what Lightning loads and never uses.

`import torch, pytorch_lightning` is most of what starting takes. A fifth of it is the collector's, which looks again
and again through a million objects that live as long as the process, and once more at its end. A quarter is due to
torchmetrics: Lightning uses two of its classes, but the package imports torchvision and transformers where they are.
"""

import gc
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

from showtell.launching.allocator import bound_caches, keep_freed_memory

_TORCHMETRICS = "torchmetrics"


@contextmanager
def quick_imports() -> Iterator[None]:
    """A block of the process's first imports of torch; what they make is never looked through for garbage.

    From then on freed memory is kept, and few of oneDNN's buffers.

    A Ctrl-C ends the process in it: torch would swallow the exception, and leave a numpy that is half there.
    Nothing happens where torch is there already, in a notebook say: what lives then is not ours.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    bound_caches()
    gc.disable()
    interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interrupts:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if interrupts:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.freeze()
        gc.enable()
        keep_freed_memory()


class _LateTorchmetrics(ModuleType):
    """torchmetrics with what Lightning takes of it; whoever asks for more, a plugin say, gets the whole package."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {_TORCHMETRICS!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None and self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def postpone_torchmetrics() -> None:
    """Before Lightning is imported: of torchmetrics no more than that needs; as ever where its files lie otherwise."""
    spec = None if _TORCHMETRICS in sys.modules else find_spec(_TORCHMETRICS)
    if spec is None:
        return
    module: Any = module_from_spec(spec)
    module.__class__ = _LateTorchmetrics
    sys.modules[_TORCHMETRICS] = module
    module.__version__ = version(_TORCHMETRICS)
    module._logger = logging.getLogger(_TORCHMETRICS)
    try:
        import_module("torchmetrics.utilities")  # first: it and `metric` import each other
        module.Metric = import_module("torchmetrics.metric").Metric
        module.MetricCollection = import_module("torchmetrics.collections").MetricCollection
    except (ImportError, AttributeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == _TORCHMETRICS]:
            del sys.modules[name]
