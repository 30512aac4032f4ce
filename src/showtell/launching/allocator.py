"""The C library's allocator: memory that is freed is kept for the next step, which wants as much again.

glibc gives blocks of more than 32 MB back to the system when they are freed, and the end of its heap beyond twice the
largest of them. Then each step, and each batch of an encoder, gets its tensors as new pages that the system has to
clear: a third of the time of `efficientnet_lite0` in float32 (`docs/decisions/encoder_speed.md`).

oneDNN, which computes in bfloat16, keeps what it has made for each new shape, 1,024 of them with buffers of their
size: in decoding, where the number of rows changes with each word, hundreds of MB.
"""

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_freed_memory(largest: int = 256 << 20, free: int = 1 << 30) -> None:
    """For processes that are ours alone; nothing happens with another C library than glibc.

    Args:
        largest: bytes of the largest block that comes from the heap.
        free: bytes that may lie free at its end.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, largest)
        mallopt(_TRIM_THRESHOLD, free)


def bound_caches(shapes: int = 256) -> None:
    """Before torch is imported: so many shapes are kept, more than an encoder has, unless the environment says."""
    for name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(name, str(shapes))
