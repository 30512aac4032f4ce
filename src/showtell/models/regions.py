"""What decoders that attend share: regions with their place in the picture, and the weights that were laid on them.

A convolution's answer hardly tells where in the picture it was given, and attention sums over regions without
order, so "left of" would be lost. Every region is therefore told its place: sines and cosines of its row and
column, through one linear layer, are added to it (the two-dimensional form of Vaswani et al. 2017, arXiv
1706.03762, section 3.5; Xu et al. do without). Pooled features count as a picture of one region. Shape legend: B
batch, R regions, D feature, N rows, T words.
"""

import math
from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from showtell.config import DecoderConfig
from showtell.vocabulary import END, START

State = tuple[Tensor, ...]
FREQUENCIES = 3


class Attends(Protocol):
    """A decoder that can tell where it looked."""

    def initial_state(self, features: Tensor) -> State: ...  # noqa: D102

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]: ...  # noqa: D102

    def attention(self, state: State) -> Tensor:
        """The weights `(N, R)` on the regions in the step that led to this state; rows sum to 1."""
        ...


class Regions(nn.Module):
    """Features `(B, R, D)` or `(B, D)` to regions `(B, R, D')` that know their place.

    D' is `region_size`, or D where that is 0. Features are brought to one scale first (LayerNorm without parameters),
    which spares the user the choice of a learning rate per encoder.
    """

    def __init__(self, config: DecoderConfig, feature_size: int) -> None:
        super().__init__()
        self.size = config.region_size or feature_size
        self.normalize = nn.LayerNorm(feature_size, elementwise_affine=False)
        # one mask for all regions of a picture: what is hidden from one stays hidden, and masks cost next to nothing
        self.dropout = nn.Dropout1d(feature_dropout(config))
        self.project = nn.Linear(feature_size, self.size) if config.region_size else nn.Identity()
        self.place = nn.Linear(4 * FREQUENCIES, self.size, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Regions."""
        features = features.unsqueeze(1) if features.ndim == 2 else features
        seen = self.normalize(features)
        regions: Tensor = self.project(self.dropout(seen.transpose(1, 2)).transpose(1, 2))
        places: Tensor = self.place(grid_places(regions.shape[1]).to(regions))
        return regions + places


def grid_places(regions: int) -> Tensor:
    """Sines and cosines of each region's row and column, `(R, 4 * FREQUENCIES)`; the grid is as square as R allows."""
    rows, columns = grid_shape(regions)
    y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
    angles = torch.stack([y.flatten(), x.flatten()], dim=1).unsqueeze(2) * math.pi * 2.0 ** torch.arange(FREQUENCIES)
    return torch.cat([angles.sin(), angles.cos()], dim=2).flatten(1)


def grid_shape(regions: int) -> tuple[int, int]:
    """Rows and columns of a grid of so many regions: the most square one."""
    rows = math.isqrt(regions)
    while regions % rows:
        rows -= 1
    return rows, regions // rows


def feature_dropout(config: DecoderConfig) -> float:
    """The dropout on features."""
    return config.dropout if config.feature_dropout is None else config.feature_dropout


def attention_maps(decoder: nn.Module, features: Tensor, captions: Sequence[Sequence[int]]) -> list[Tensor]:
    """`word_attention` for captions of any lengths, each as `(words, rows, columns)` on the CPU.

    Empty for a decoder that has no attention.
    """
    longest = max((len(caption) for caption in captions), default=0)
    if not hasattr(decoder, "attention") or longest == 0:
        return []
    rows = [[*caption, *[END] * (longest - len(caption))] for caption in captions]
    weights = word_attention(decoder, features, torch.tensor(rows, device=features.device)).float().cpu()
    maps = weights.unflatten(2, grid_shape(weights.shape[2]))  # type: ignore[no-untyped-call]
    return [maps[i, : len(caption)] for i, caption in enumerate(captions)]


@torch.no_grad()
def word_attention(decoder: nn.Module, features: Tensor, tokens: Tensor) -> Tensor:
    """Where a decoder looked for each word of given captions.

    Args:
        decoder: one with an `attention` method, in evaluation mode.
        features: `(B, R, D)`.
        tokens: `(B, T)` the words; what follows a shorter caption's end does not matter.

    Returns:
        `(B, T, R)`: the weights of the step that said the word.
    """
    attends = cast(Attends, decoder)
    state = attends.initial_state(features)
    given = torch.cat([tokens.new_full((len(tokens), 1), START), tokens[:, :-1]], dim=1)
    weights = []
    for column in given.unbind(1):
        _, state = attends.step(column, state)
        weights.append(attends.attention(state))
    return torch.stack(weights, dim=1)
