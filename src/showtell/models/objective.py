"""What a training step minimizes: the contract of `objectives/`, cross-entropy per token, the loss of several ranks.

    class MyObjective(Objective):
        def forward(self, decoder, batch):
            logits, extra = decoder.teacher_forced(batch.features, batch.captions)
            return token_cross_entropy(logits, batch.captions) + extra, {}

Shape legend: B captions, T words with `<end>`, V vocabulary, D feature.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from showtell.config import ObjectiveConfig, find
from showtell.models.decoders.base import Decoder
from showtell.text import Vocabulary


@dataclass(frozen=True)
class CaptionBatch:
    """What an objective is given.

    Attributes:
        features: `(B, ..., D)` of each caption's picture, with a gradient where the encoder is fine-tuned.
        captions: `(B, T)` tokens, `<end>` last.
        picture_ids: `(B,)`.
        progress: how far training is, by epochs: 0 in the first, 1 in the last.
    """

    features: Tensor
    captions: Tensor
    picture_ids: Tensor
    progress: float = 0.0


MOST_LOGITS = 2**27
"""Half a gigabyte in float32, of which a step holds three."""
References = Mapping[int, Sequence[str]]


class Objective(nn.Module, ABC):
    """Called with the decoder and a batch. Its own parameters and buffers are trained and kept in the checkpoint.

    A class is built by `(config, vocabulary, references)`: its settings, what tokens mean, and where the settings say
    `needs_references` the training captions as they were written, by picture id.
    """

    def __init__(self, config: Any = None, vocabulary: Vocabulary | None = None, references: Any = None) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, decoder: Decoder, batch: CaptionBatch) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        """The loss, a mean over the batch, and what else is logged under `train/`."""

    @property
    def uses_extra_loss(self) -> bool:
        """Whether every step adds what `Decoder.teacher_forced` adds, without which some weights have no gradient."""
        return True


def build_objective(config: ObjectiveConfig, vocabulary: Vocabulary, references: References | None = None) -> Objective:
    """The objective that the configuration names."""
    objective: Objective = find("objective", config.name).load()(config, vocabulary, references)
    return objective


def token_cross_entropy(logits: Tensor, captions: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """The mean over all tokens: `(B, T, V)` and `(B, T)` to a scalar."""
    return nn.functional.cross_entropy(logits.flatten(0, 1), captions.flatten(), label_smoothing=label_smoothing)


def teacher_forced_loss(
    decoder: Decoder, features: Tensor, captions: Tensor, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """`token_cross_entropy`, and what the decoder adds to it in training.

    Logits beyond `MOST_LOGITS` are never held at once where torch (2.12 or later) and the decoder can do without.
    """
    words = getattr(getattr(decoder, "word_embedding", None), "num_embeddings", 0)
    if captions.numel() * words > MOST_LOGITS and hasattr(nn, "LinearCrossEntropyOptions"):
        told = decoder.before_words(features, captions)
        if told is not None:
            before, extra = told
            return decoder.output.cross_entropy(before, captions, label_smoothing), extra  # type: ignore[operator, union-attr]
    logits, extra = decoder.teacher_forced(features, captions)
    return token_cross_entropy(logits, captions, label_smoothing), extra


class _MeanOverRanks(torch.autograd.Function):
    """Forward: the mean over ranks. Backward: the gradient as it comes, since DDP averages those of the parameters."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor) -> Tensor:
        total = loss.detach().clone()
        torch.distributed.all_reduce(total)
        return total / torch.distributed.get_world_size()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def ddp_loss(loss: Tensor, weight: float) -> Tensor:
    """The loss of a batch that several ranks share: one value on all of them, equal to a single process's.

    A rank's loss is the mean over its rows. Weighted with `rows of this rank * ranks / rows of all`, the mean over
    ranks, which is what DDP makes of their gradients, is the mean over all rows, also where ranks have unequal numbers
    of rows or none at all. What is handed on is that mean itself: whoever looks at it (the curves, the check for NaN, a
    progress bar) sees the loss of the run, and all ranks draw the same conclusion at the same step. All ranks must ask.
    """
    mean: Tensor = _MeanOverRanks.apply(loss * weight)
    return mean
