"""Reading ahead: the system fetches mapped features from the disk while training computes on those before them.

Which rows the next batches need is known, and they lie anywhere in a file that may be larger than memory. Left to
itself the system reads a page when it is touched, and guesses at what follows it: training waits for each row in turn,
and much is read in vain. So rows are announced before their batch is (`madvise`, which returns at once), and are read
together. No thread, and no bit of a run depends on it.
"""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_BYTES = 1 << 15
"""Of smaller rows, as pooled features are, a disk delivers the neighbourhood as fast, which other batches need."""


class ReadAhead:
    """Announces rows of an array that `np.memmap` made."""

    def __init__(self, mapped: NDArray[Any]) -> None:
        assert isinstance(mapped, np.memmap)
        self._map: Any = mapped.base
        # the mapping begins at a page, the array where the file's header ends
        self._start = mapped.offset % mmap.ALLOCATIONGRANULARITY
        self._row_bytes = mapped[:1].nbytes
        self._is_useful = self._row_bytes >= LEAST_BYTES and hasattr(mmap, "MADV_WILLNEED")

    def __call__(self, rows: NDArray[np.integer]) -> int:
        """Lets the system read rows; the number of bytes, 0 where that is left to the system."""
        if not self._is_useful:
            return 0
        for row in rows.tolist():
            first = self._start + row * self._row_bytes
            page = first - first % mmap.PAGESIZE
            self._map.madvise(mmap.MADV_WILLNEED, page, first + self._row_bytes - page)
        return len(rows) * self._row_bytes
