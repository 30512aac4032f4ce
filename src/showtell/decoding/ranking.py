"""The best few of many values, with ties always broken the same way: the lower index first.

`torch.topk` leaves the order of ties open, and on a GPU it may depend on the number of rows, so a picture could get
another caption in a batch than alone; ties are common once logits come in bfloat16. Here each value is joined with its
index into one integer, so no two are equal, and `topk` has nothing left to decide. Integers of a whole vocabulary
would be slow, hence two rounds: the row is cut into blocks, the blocks are ranked by their largest value, and only the
members of the best blocks are ranked one by one. This is faster than `topk` over the row.

Why that is exact: rank values by (value descending, index ascending), blocks by (largest value descending, block
index ascending), and take the `count` best blocks. A value outside of them lies behind `count` blocks, and each of
these holds a value that is larger, or equal with a lower index (blocks are contiguous). So it is not among the best
`count`. The rest of the row after its last whole block always takes part.
"""

import torch
from torch import Tensor

BLOCK = 32


def best(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest values of each row and their indices, best first, ties by the lower index.

    Args:
        values: (N, V), without NaN.
        count: How many; all of them when V is smaller.

    Returns:
        Values and indices (int64), both (N, min(count, V)).
    """
    if values.shape[1] < 2 * count * BLOCK:
        return _sorted(values, count)
    blocks = values.shape[1] // BLOCK
    rest = torch.arange(blocks * BLOCK, values.shape[1], device=values.device).expand(values.shape[0], -1)
    peaks = values[:, : blocks * BLOCK].reshape(-1, blocks, BLOCK).amax(dim=2)
    chosen = _sorted(peaks, count)[1].sort(dim=1).values
    members = chosen.unsqueeze(2) * BLOCK + torch.arange(BLOCK, device=values.device)
    candidates = torch.cat([members.flatten(1), rest], dim=1)
    top_values, positions = _sorted(values.gather(1, candidates), count)
    return top_values, candidates.gather(1, positions)


def _sorted(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`best` in one round: each value and its index become one integer, so that no two are equal."""
    # the bits of a float32 read as an integer sort like the number, once those below the sign of negatives are flipped
    bits = (values + 0.0).view(torch.int32)
    ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    keys = (ascending.long() << 32) - torch.arange(values.shape[1], device=values.device)
    indices = keys.topk(min(count, values.shape[1]), dim=1).indices
    return values.gather(1, indices), indices
