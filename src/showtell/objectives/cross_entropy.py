"""Cross-entropy of people's captions under teacher forcing, with label smoothing."""

from collections.abc import Mapping

from torch import Tensor

from showtell.models.decoders.base import Decoder
from showtell.models.objective import CaptionBatch, Objective, token_cross_entropy


class CrossEntropy(Objective):
    """Per token, and the term that a decoder adds to it.

    Args:
        label_smoothing: Szegedy et al. 2016 (arXiv 1512.00567), section 7. Validation stays with plain cross-entropy,
            so that runs with different settings can be compared.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, decoder: Decoder, batch: CaptionBatch) -> tuple[Tensor, Mapping[str, Tensor | float]]:
        """The loss."""
        logits, extra = decoder.teacher_forced(batch.features, batch.captions)
        return token_cross_entropy(logits, batch.captions, self.label_smoothing) + extra, {}
