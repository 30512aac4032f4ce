"""The C library's allocator: memory that is freed is kept for the next step, which wants as much again.

glibc gives blocks of more than 32 MB back to the system when they are freed, and the end of its heap beyond twice the
largest of them. Then each step, and each batch of an encoder, gets its tensors as new pages that the system has to
clear: a third of the time of `efficientnet_lite0` in float32 (`docs/decisions/encoder_speed.md`).
"""

import ctypes

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
