"""What becomes of a network's maps: one vector, regions in reading order, two maps side by side.

Shape legend: B batch, R regions, D feature.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from showtell.config import ConfigError


def pool(last: Tensor) -> Tensor:
    """The mean over a map `(B, D, h, w)`; vectors `(B, D)` as they are."""
    return last if last.ndim == 2 else last.mean(dim=(2, 3))


def as_it_is(last: Tensor) -> Tensor:
    """A map that is one already."""
    return last


def tokens_as_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """The last `h w` of tokens `(B, P + h w, D)` as a map `(B, D, h, w)`; the P before them belong to no place."""
    places = tokens[:, -size[0] * size[1] :]
    return places.transpose(1, 2).reshape(len(tokens), -1, *size)


def averaged(last: Tensor, height: int, width: int) -> Tensor:
    """A map `(B, D, h, w)` averaged to another size.

    The usual ratios, one and two, go without the adaptive kernel, to the same bits: OpenVINO has a slow one.
    """
    for factor in (1, 2):
        if last.shape[2] == factor * height and last.shape[3] == factor * width:
            return last if factor == 1 else nn.functional.avg_pool2d(last, factor)
    return nn.functional.adaptive_avg_pool2d(last, (height, width))


def regions(last: Tensor, side: int = 0, pooling: str = "grid") -> Tensor:
    """The places of a map `(B, D, h, w)`, row by row, as `(B, R, D)`; averaged to `side` x `side` of them first.

    Raises:
        ConfigError: the map is coarser than that.
    """
    if side > min(last.shape[2:]):
        height, width = last.shape[2:]
        raise ConfigError(
            f"encoder.pooling={pooling}:{side} is finer than the encoder's map of {height} x {width}; "
            "use a smaller number, or a larger encoder.image_size"
        )
    if side:
        last = averaged(last, side, side)
    return last.flatten(2).transpose(1, 2).contiguous()


def with_vector(vector: Tensor, found: Tensor) -> Tensor:
    """Regions `(B, R, D)` with a vector `(B, D)` before them.

    Raises:
        ConfigError: the vector has another size.
    """
    if vector.shape[1] != found.shape[2]:
        raise ConfigError(
            f"encoder.pooling=tokens: this encoder's vector has {vector.shape[1]} features and a region "
            f"{found.shape[2]}; use encoder.pooling=grid"
        )
    return torch.cat([vector.unsqueeze(1), found], dim=1)


def colored_regions(first: Tensor, last: Tensor, grid: tuple[int, int]) -> Tensor:
    """Regions `(B, R, C_last + 2 C_first)` row by row: the last map's mean, the first's maximum and minimum in each."""
    parts = [
        averaged(last, *grid),
        nn.functional.adaptive_max_pool2d(first, grid),
        -nn.functional.adaptive_max_pool2d(-first, grid),
    ]
    return torch.cat(parts, dim=1).flatten(2).transpose(1, 2).contiguous()


def side_by_side(earlier: Tensor, last: Tensor) -> Tensor:
    """Two maps as one, `(B, D_earlier + D_last, h, w)` at the last one's size."""
    height, width = last.shape[2:]
    return torch.cat([averaged(earlier, height, width), last], dim=1)


def two_scales(chain: nn.Sequential, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """What a chain of layers gave before it last made the map smaller, and its last map.

    Raises:
        ConfigError: no map before the last is finer.
    """
    earlier = last = pixels
    for layer in _layers(chain):
        before, last = last, layer(last)
        if last.shape[2:] != before.shape[2:]:
            earlier = before
    if earlier is pixels:
        raise ConfigError("encoder.pooling=multi: all maps of this encoder have one size; use encoder.pooling=grid")
    return earlier, last


def _layers(chain: nn.Sequential) -> Iterator[nn.Module]:
    for part in chain:
        if type(part) is nn.Sequential:
            yield from _layers(part)
        else:
            yield part
